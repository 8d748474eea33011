"""The group of all commands, which handles their errors."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn, cast

import click

from plivo_endpoints._errors import PlivoError
from plivo_endpoints._events import logger
from plivo_endpoints._version import __version__
from plivo_endpoints.cli import demo, endpoints, provision, sandbox, tokens
from plivo_endpoints.cli.errors import USAGE, report
from plivo_endpoints.cli.options import Settings, SharingGroup, shared_options

_EPILOG = """
\b
Examples:
  plivo-endpoints create alice --alias front-desk
  plivo-endpoints list --limit 20
  plivo-endpoints list | cut -f1
  plivo-endpoints --json get 18406780198123 | jq -r .username
  plivo-endpoints token --sub alice250101120000 --outgoing --lifetime 3600
  plivo-endpoints token inspect < token.txt
  plivo-endpoints sandbox --port 8080 --endpoints 45

\b
Environment:
  PLIVO_AUTH_ID, PLIVO_AUTH_TOKEN  the account; there is no option for it
  PLIVO_BASE_URL                   another server, as --base-url
  PLIVO_RATE_LIMIT                 a file or postgresql:// URL to share the quota
  PLIVO_ENDPOINT_PASSWORD          the SIP password, instead of a prompt
  PLIVO_PROVISION_KEY              the master key for derived passwords
  PLIVO_SANDBOX_AUTH_ID, PLIVO_SANDBOX_AUTH_TOKEN
                                   the account of `sandbox`; default: random
  HTTPS_PROXY, NO_PROXY            the proxy to Plivo, and hosts without one
  NO_COLOR                         no colours

\b
Exit status:
  0    done
  1    refused or failed
  2    wrong usage, a source file that breaks a rule, or no credentials;
       nothing was sent
  3    the outcome of a create is unknown: do not repeat it, but follow
       the advice it prints; or something needs a person's review
  130  stopped by Ctrl-C
  141  the reader of the pipe closed it, as `head` does
  143  a command of provision was stopped by SIGTERM or SIGHUP
"""

logger.addHandler(logging.NullHandler())  # commands report errors themselves


class RootGroup(SharingGroup):
    """Turns the errors of all commands, including subgroups, into a line and an exit status."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        settings = ctx.ensure_object(Settings)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except click.UsageError:
            raise  # click prints the usage too, and exits with 2
        except (PlivoError, click.ClickException, click.Abort, KeyboardInterrupt, OSError) as error:
            ctx.exit(report(error, settings))
        return result


@click.group(cls=RootGroup, epilog=_EPILOG, context_settings={"max_content_width": 100})
@shared_options
@click.version_option(__version__, package_name="plivo-endpoints")
def cli() -> None:
    """Create, read, update and delete Plivo SIP endpoints, and mint tokens for them.

    Unofficial. `plivo-endpoints demo` shows every call without an account.
    """


for _command in (
    endpoints.create,
    endpoints.find_created,
    endpoints.get,
    endpoints.list_,
    endpoints.update,
    endpoints.delete,
    tokens.token,
    provision.provision,
    sandbox.sandbox,
    demo.demo,
):
    _command.epilog = _command.epilog or "Environment and exit status: see plivo-endpoints --help."
    cli.add_command(_command)


def run() -> NoReturn:
    """Run the command line of this process."""
    _fill_in("stdin", "r")
    _fill_in("stderr", "w")
    if cast("io.TextIOBase | None", sys.stdout) is None:
        # Checked first, as a create that worked must not fail because of this.
        print("Error: standard output is closed, so no result could be printed", file=sys.stderr)
        raise SystemExit(USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A create that worked must not end in a UnicodeEncodeError because of its alias.
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="plivo-endpoints")
    raise SystemExit  # for the type checker: click has exited


def _fill_in(name: str, mode: str) -> None:
    """Replace a closed standard stream by the null device."""
    if getattr(sys, name) is None:
        setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays open until exit

"""Turn an exception into a line on stderr and an exit status.

0 done, 1 refused or failed, 2 usage, 3 outcome unknown; and as in a shell 130 after Ctrl-C, 141 after a
closed pipe, and 143 after `kill`. With `--json` the line is a JSON document, still on stderr, so that a
program that reads standard output never takes an error for a result.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Final, TextIO

import click

from plivo_endpoints._errors import (
    AuthenticationError,
    InvalidArgumentError,
    ListChangedWarning,
    OutcomeUnknownError,
    PlivoError,
    RateLimitedError,
)
from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.cli.options import NextStep
from plivo_endpoints.cli.output import escape, to_json
from plivo_endpoints.provisioning._report import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Generator

    from plivo_endpoints.cli.options import Settings

FAILED: Final = int(ExitStatus.FAILED)
USAGE: Final = 2
UNKNOWN: Final = int(ExitStatus.REVIEW)
INTERRUPTED: Final = 130
READER_LEFT: Final = 141
TERMINATED: Final = 143

_FIND_OUT: Final = """\
Do not run it again: that could make a second endpoint. To find out whether there is one now, run the line
below; it takes two minutes at most."""

# The environment variables that the command line has instead of the library's arguments.
_VARIABLES: Final = {
    "auth_id": "PLIVO_AUTH_ID",
    "auth_token": "PLIVO_AUTH_TOKEN",
    "master_key": "PLIVO_PROVISION_KEY",
    "proxy": "HTTPS_PROXY (or ALL_PROXY)",
}

# The attributes of an error that the JSON document includes.
_FACTS: Final = (
    "field",
    "rule",
    "status",
    "api_id",
    "attempts",
    "sent",
    "phase",
    "retry_after",
    "username",
    "alias",
    "sent_at",
    "endpoint_id",
)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP ended the command, as gently as Ctrl-C does."""


class OutputLostError(click.ClickException):
    """The command did its work, but its output could not be written."""

    exit_code = UNKNOWN


@contextmanager
def report_if_output_lost(fact: str) -> Generator[None]:
    """Report `fact` if the output is lost, as running a create again would make a second endpoint."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        raise OutputLostError(f"{fact}, but the output was lost: {error.strerror}") from error
    except KeyboardInterrupt as error:
        raise OutputLostError(f"{fact}, but the command was then stopped") from error


@contextmanager
def report_if_interrupted() -> Generator[None]:
    """Report the endpoint of a create that had just succeeded when Ctrl-C came."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if notes := getattr(interrupt, "__notes__", None):
            raise OutputLostError(f"stopped. {' '.join(notes)}") from interrupt
        raise


def report(error: BaseException, settings: Settings) -> int:
    """Print what went wrong on stderr and return the exit status."""
    _discard_lost_output()
    unknown = _unknown_outcome(error)
    if unknown is not None:
        settings.next_step = _find_created_step(unknown, settings)
        _print_error(
            unknown,
            f"whether endpoint {unknown.username!r} was created is unknown: {unknown.reason}",
            settings,
        )
        return UNKNOWN
    if isinstance(error, BrokenPipeError):
        return READER_LEFT  # as in `list | head`
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _print_error(error, "stopped", settings)
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if isinstance(error, click.ClickException):
        _print_error(error, error.format_message(), settings)
        return error.exit_code
    _print_error(error, _cli_message(error, settings), settings)
    return USAGE if isinstance(error, InvalidArgumentError) else FAILED


def _cli_message(error: BaseException, settings: Settings) -> str:
    """Return an error's message, with environment variables for arguments and the id that was given."""
    if isinstance(error, InvalidArgumentError) and error.field in _VARIABLES:
        return f"{_VARIABLES[error.field]} {error.rule}"
    return str(error).replace("{endpoint_id}", settings.endpoint_id or "{endpoint_id}")


def _unknown_outcome(error: BaseException) -> OutcomeUnknownError | None:
    # After Ctrl-C during a create it is the cause of the KeyboardInterrupt.
    found = error if isinstance(error, PlivoError) else error.__cause__
    return found if isinstance(found, OutcomeUnknownError) else None


def _discard_lost_output() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes again at exit, and would report the error again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _print_error(error: BaseException, message: str, settings: Settings) -> None:
    step, hint = settings.next_step, _hint(error)
    if settings.as_json:
        facts = {name: getattr(error, name) for name in _FACTS if getattr(error, name, None) is not None}
        advice = {} if hint is None else {"hint": hint}
        further = {} if step is None else {step.field: step.line}
        document = {"type": type(error).__name__, "message": message, **facts, **advice, **further}
        click.echo(to_json({"error": document}), err=True)
        return
    click.echo(f"Error: {escape(message)}", err=True)
    if hint is not None:
        click.echo(hint, err=True)
    if step is not None:
        click.echo(f"{step.advice}\n  {step.line}", err=True)


def _hint(error: BaseException) -> str | None:
    if isinstance(error, AuthenticationError):
        return "Check PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN: the server does not accept this pair."
    if isinstance(error, RateLimitedError) and error.retry_after:
        return f"Try again in {ceil(error.retry_after)} s."
    return None


def _find_created_step(error: OutcomeUnknownError, settings: Settings) -> NextStep:
    """Return the `find-created` command with the error's values."""
    words = ("find-created", "--username", error.username, "--alias", error.alias)
    line = command_line((*words, "--sent-at", error.sent_at.isoformat()), base_url=settings.base_url)
    return NextStep("find_out_with", _FIND_OUT, line)


@contextmanager
def list_changes_in_one_line() -> Generator[None]:
    """Print a `ListChangedWarning` as one line, without its source location."""
    usual = warnings.showwarning

    def show(  # noqa: PLR0917 - as the warnings module calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ListChangedWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ListChangedWarning)
        warnings.showwarning = show
        yield

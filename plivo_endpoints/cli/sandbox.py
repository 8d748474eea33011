"""`sandbox`: a stand-in for Plivo on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING

import click

from plivo_endpoints.cli.options import Settings, json_option
from plivo_endpoints.cli.output import escape

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import RequestRecord, Sandbox


def _check_host(_: click.Context, __: click.Parameter, host: str) -> str:
    if not host:
        raise click.BadParameter("an empty one would be all addresses of this machine: 0.0.0.0 says that")
    return host


@click.command
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="A free one without it.")
@click.option(
    "--endpoints", type=click.IntRange(min=0), metavar="N", default=0, help="How many to begin with."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    callback=_check_host,
    help="Another address than loopback opens it to others.",
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the account in a file, from one start to the next.",
)
@click.option("--quiet", is_flag=True, help="Log no requests.")
@click.option("--control", is_flag=True, help="Open /_sandbox/, for faults and settings over HTTP.")
@json_option
@click.pass_obj
def sandbox(
    settings: Settings,
    *,
    port: int,
    endpoints: int,
    host: str,
    state_file: Path | None,
    quiet: bool,
    control: bool,
) -> None:
    """Serve a stand-in for Plivo on this machine.

    It prints three lines to paste into another shell, whose plivo-endpoints, or any other program that reads
    these variables, then talks to it, until Ctrl-C. With --json, one document instead. Requests are logged to
    standard error. A page for people is at the URL it prints.
    """
    from plivo_endpoints.sandbox import Sandbox  # noqa: PLC0415 - aiohttp's server costs the others nothing

    log = logging.getLogger("plivo_endpoints.sandbox")
    if logging.lastResort is not None:
        log.addHandler(logging.lastResort)  # a line on standard error
    if quiet:  # what else is logged there is no request: a mistake of the sandbox itself
        log.setLevel(logging.ERROR)
    try:
        server = Sandbox(
            host=host,
            port=port,
            endpoints=endpoints,
            control=control,
            state_file=state_file,
            on_request=None if quiet else _log,
        )
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(server, settings))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except gaierror as error:
        raise click.ClickException(f"cannot serve on {host}: {error.strerror}") from error
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        if error.filename is None:
            problem = f"cannot serve on port {port}: {os.strerror(error.errno)}"
        else:
            problem = f"cannot keep the account in {state_file}: {error.strerror}"
        raise click.ClickException(problem) from error


async def _serve(server: Sandbox, settings: Settings) -> None:
    ended = asyncio.Event()
    with suppress(NotImplementedError):  # on Windows, where `kill` is not this gentle
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        _announce(server, settings)
        await ended.wait()


def _log(record: RequestRecord) -> None:
    status = record.status or "dropped"
    click.echo(f"{record.at:%H:%M:%S} {record.method} {escape(record.path)} {status}", err=True)


def _announce(server: Sandbox, settings: Settings) -> None:
    values = {
        "PLIVO_BASE_URL": server.base_url,
        "PLIVO_AUTH_ID": server.auth_id,
        "PLIVO_AUTH_TOKEN": server.auth_token,
    }
    if settings.as_json:
        settings.output().record(values)
    else:
        for name, value in values.items():
            click.echo(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    if sys.stdout.isatty():
        click.echo("Paste these lines into another shell. Ctrl-C ends the sandbox.", err=True)

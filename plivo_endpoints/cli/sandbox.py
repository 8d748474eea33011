"""`sandbox`: serve a stand-in for Plivo on loopback until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING

import click

from plivo_endpoints.cli.options import Settings, json_option
from plivo_endpoints.cli.output import escape

if TYPE_CHECKING:
    from collections.abc import Generator

    from plivo_endpoints.sandbox import RequestRecord, Sandbox


def _check_host(_: click.Context, __: click.Parameter, host: str) -> str:
    if not host:
        raise click.BadParameter("must not be empty: to serve on all addresses, use 0.0.0.0")
    return host


@click.command
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="[default: a free port]")
@click.option(
    "--endpoints", type=click.IntRange(min=0), metavar="N", default=0, help="Start with N endpoints."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    callback=_check_host,
    help="Any address but loopback makes the sandbox reachable for other machines.",
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the account in a file across restarts.",
)
@click.option("--sip", is_flag=True, help="Let phones register: by UDP, TCP and WebSocket.")
@click.option(
    "--sip-port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="The port for UDP and TCP, with --sip.  [default: a free port]",
)
@click.option("--quiet", is_flag=True, help="Do not log requests.")
@click.option("--control", is_flag=True, help="Enable /_sandbox/, for faults and settings over HTTP.")
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
    sip: bool,
    sip_port: int,
) -> None:
    """Serve a stand-in for Plivo on this machine.

    It prints three `export` lines to paste into another shell, or with --json one document. In that shell,
    plivo-endpoints and other programs that read these variables use the sandbox. It runs until Ctrl-C, and
    logs requests to standard error. PLIVO_BASE_URL also shows a page for people.

    With --sip, phones can register with the username and password of an endpoint, or with a token. It prints
    two more lines: PLIVO_SIGNALLING_URL is the WebSocket for Plivo's browser SDK, and PLIVO_SIP_PORT the port
    for other phones, whose domain is phone.plivo.com. There are no calls.

    The account's credentials are random unless PLIVO_SANDBOX_AUTH_ID and PLIVO_SANDBOX_AUTH_TOKEN are set.
    """
    if sip_port and not sip:
        raise click.UsageError("--sip-port needs --sip")
    from plivo_endpoints.sandbox import Sandbox  # noqa: PLC0415 - other commands must not import aiohttp.web

    _configure_log(quiet=quiet, sip=sip)
    ports = f"port {port} with SIP port {sip_port}" if sip else f"port {port}"
    with _explaining_errors(host, ports, state_file), suppress(KeyboardInterrupt):
        server = Sandbox(
            # Not PLIVO_AUTH_ID: a real account's token must not be printed, nor be sent unencrypted.
            auth_id=os.environ.get("PLIVO_SANDBOX_AUTH_ID") or None,
            auth_token=os.environ.get("PLIVO_SANDBOX_AUTH_TOKEN") or None,
            host=host,
            port=port,
            endpoints=endpoints,
            control=control,
            sip=sip,
            sip_port=sip_port,
            state_file=state_file,
            on_request=None if quiet else _log,
        )
        asyncio.run(_serve(server, settings, sip=sip))


@contextmanager
def _explaining_errors(host: str, ports: str, state_file: Path | None) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except gaierror as error:
        raise click.ClickException(f"cannot serve on {host}: {error.strerror}") from error
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        if error.filename is None:
            problem = f"cannot serve on {ports}: {os.strerror(error.errno)}"
        else:
            problem = f"cannot keep the account in {state_file}: {error.strerror}"
        raise click.ClickException(problem) from error


def _configure_log(*, quiet: bool, sip: bool) -> None:
    log = logging.getLogger("plivo_endpoints.sandbox")
    if logging.lastResort is not None:
        log.addHandler(logging.lastResort)  # a line on standard error
    if quiet:  # errors of the sandbox itself are still logged
        log.setLevel(logging.ERROR)
    elif sip:
        _log_phones()


async def _serve(server: Sandbox, settings: Settings, *, sip: bool) -> None:
    ended = asyncio.Event()
    with suppress(NotImplementedError):  # on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        _announce(server, settings, sip=sip)
        await ended.wait()


def _log_phones() -> None:
    """Log who registers or is refused, in the form of the requests."""
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("plivo_endpoints.sandbox.sip")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False


def _log(record: RequestRecord) -> None:
    status = record.status or "dropped"
    click.echo(f"{record.at:%H:%M:%S} {record.method} {escape(record.path)} {status}", err=True)


def _announce(server: Sandbox, settings: Settings, *, sip: bool) -> None:
    values = {
        "PLIVO_BASE_URL": server.base_url,
        "PLIVO_AUTH_ID": server.auth_id,
        "PLIVO_AUTH_TOKEN": server.auth_token,
    }
    if sip:
        values |= {"PLIVO_SIGNALLING_URL": server.signalling_url, "PLIVO_SIP_PORT": str(server.sip_port)}
    if settings.as_json:
        settings.output().record(values)
    else:
        for name, value in values.items():
            click.echo(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    if sys.stdout.isatty():
        click.echo("Paste these lines into another shell. Ctrl-C ends the sandbox.", err=True)

"""`sandbox`: a stand-in for Plivo on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from plivo_endpoints.cli.settings import Settings, shared_options

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


@click.command
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="A free one without it.")
@click.option(
    "--endpoints", type=click.IntRange(min=0), metavar="N", default=0, help="How many to begin with."
)
@shared_options
@click.pass_obj
def sandbox(settings: Settings, port: int, endpoints: int) -> None:
    """Serve a stand-in for Plivo on this machine until Ctrl-C.

    It prints three lines to paste into another shell, whose plivo-endpoints, or any other program that reads
    these variables, then talks to it. With --json, one document instead.
    """
    from plivo_endpoints.sandbox import Sandbox  # noqa: PLC0415 - aiohttp's server costs the others nothing

    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(Sandbox(port=port, endpoints=endpoints), settings))
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        raise click.ClickException(f"cannot serve on port {port}: {os.strerror(error.errno)}") from error


async def _serve(server: Sandbox, settings: Settings) -> None:
    ended = asyncio.Event()
    with suppress(NotImplementedError):  # on Windows, where `kill` is not this gentle
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        _announce(server, settings)
        await ended.wait()


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
            click.echo(f"export {name}={value}")
    sys.stdout.flush()
    if sys.stdout.isatty():
        click.echo("Paste these lines into another shell. Ctrl-C ends the sandbox.", err=True)

"""`demo`: every operation, really carried out, against a sandbox in a process of its own."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Final
from urllib.request import ProxyHandler, Request, build_opener

import click
from rich.console import Console

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints.cli import tour
from plivo_endpoints.cli.output import widened
from plivo_endpoints.cli.shell import command_line
from plivo_endpoints.cli.walkthrough import walk, walk_async

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from plivo_endpoints._errors import PlivoError

# The tour makes the 45th endpoint, and has one answer lost by way of the control path.
_ARGUMENTS: Final = ("sandbox", "--port", "0", "--endpoints", "44", "--quiet", "--control")
_LOST_ANSWER: Final = {"fault": {"applied": True, "reset": True}, "times": 1, "method": "POST"}
_MARGIN: Final = " " * 4


class _Console(Console):
    """Leaves a reader that left to `root`: rich would end the program, with another status."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class ConsoleStage:
    """Shows a walkthrough as an interactive Python would."""

    def __init__(self) -> None:
        # Code, and what holds no space, is left for the terminal to wrap: so it can be copied whole.
        self._console = widened(_Console(highlight=False, emoji=False, markup=False, soft_wrap=True))
        # In a file or pipe a line stays a line.
        self._width = self._console.width if self._console.is_terminal else sys.maxsize

    def title(self, text: str) -> None:
        """Head a part."""
        self._console.print()
        self._text(text, style="bold")
        self._console.print()

    def code(self, source: str) -> None:
        """Show a statement that is about to run."""
        *comments, last = source.splitlines()
        for comment in comments:
            self._text(comment.removeprefix("# "), style="green", margin="# ")
        self._console.print(f">>> {last}", style="cyan")

    def value(self, value: object) -> None:
        """Show what it gave."""
        self._text(repr(value), margin=_MARGIN)

    def error(self, error: PlivoError) -> None:
        """Show what it raised, and what it knows."""
        self._text(f"{type(error).__name__}: {error}", style="red", margin=_MARGIN)
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(error).items())
        self._text(facts, margin=_MARGIN)

    def _text(self, text: str, *, style: str = "", margin: str = "") -> None:
        lines = wrap(text, self._width - len(margin), break_long_words=False, break_on_hyphens=False)
        self._console.print("\n".join(margin + line for line in lines), style=style)


@click.command
def demo() -> None:
    """Show every call against a sandbox; needs no account.

    It starts `plivo-endpoints sandbox` as its own process, then creates, reads, updates, lists, mints a token
    and deletes, with the async client and the blocking one, and shows what errors look like, and how a create
    whose answer was lost is found again. Each line is the code that runs, with what came back below it.
    """
    # Ended by `kill`, it takes the sandbox's process with it, as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = ConsoleStage()
    stage.title(f"$ plivo-endpoints {shlex.join(_ARGUMENTS)}")
    with _sandbox_process() as environment:
        for name, value in environment.items():
            click.echo(f"export {name}={value}")
        _tour(stage, environment)
    stage.title("All of it went over HTTP to that sandbox, which has ended. Start one for your own tries:")
    click.echo(command_line(["sandbox"]))


def _tour(stage: ConsoleStage, environment: Mapping[str, str]) -> None:
    credentials = (environment["PLIVO_AUTH_ID"], environment["PLIVO_AUTH_TOKEN"])
    base_url = environment["PLIVO_BASE_URL"]
    asyncio.run(_async_tour(stage, AsyncClient(*credentials, base_url=base_url)))
    with Client(*credentials, base_url=base_url) as client:
        stage.title(f"{tour.with_blocking_client.__doc__}")
        walk(tour.with_blocking_client, stage, client=client)
        stage.title(f"{tour.with_errors.__doc__}")
        walk(tour.with_errors, stage, fails=True, client=client)
        _lose_next_answer(*credentials, base_url)
        stage.title(f"{tour.with_a_lost_answer.__doc__}")
        walk(tour.with_a_lost_answer, stage, fails=True, client=client)


async def _async_tour(stage: ConsoleStage, client: AsyncClient) -> None:
    async with client:
        stage.title(f"{tour.with_async_client.__doc__}")
        await walk_async(tour.with_async_client, stage, client=client)


def _lose_next_answer(auth_id: str, auth_token: str, base_url: str) -> None:
    account = b64encode(f"{auth_id}:{auth_token}".encode()).decode()
    headers = {"Authorization": f"Basic {account}", "Content-Type": "application/json"}
    order = Request(f"{base_url}/_sandbox/faults", json.dumps(_LOST_ANSWER).encode(), headers)  # noqa: S310 - ours
    build_opener(ProxyHandler({})).open(order).close()  # this machine needs no proxy


@contextmanager
def _sandbox_process() -> Generator[dict[str, str]]:
    command = [sys.executable, "-m", "plivo_endpoints", *_ARGUMENTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            environment = _read_exports(process.stdout or ())
            yield environment
        finally:
            process.terminate()
            process.wait()


def _read_exports(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        found[name] = value
        if "PLIVO_AUTH_TOKEN" in found:
            return found
    raise click.ClickException("the sandbox did not start")

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
from typing import TYPE_CHECKING, Final
from urllib.request import ProxyHandler, Request, build_opener

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints.cli import tour
from plivo_endpoints.cli.walkthrough import walk, walk_async

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from plivo_endpoints._errors import PlivoError

# The tour makes the 45th endpoint, and has one answer lost by way of the control path.
_ARGUMENTS: Final = ("sandbox", "--port", "0", "--endpoints", "44", "--quiet", "--control")
_LOST_ANSWER: Final = {"fault": {"applied": True, "reset": True}, "times": 1, "method": "POST"}


class ConsoleStage:
    """Shows a walkthrough as an interactive Python would."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        # In a file or pipe a line stays a line.
        self._soft_wrap = not self._console.is_terminal

    def title(self, text: str) -> None:
        """Head a part."""
        self._console.print(f"\n{text}\n", style="bold", soft_wrap=self._soft_wrap)

    def code(self, source: str) -> None:
        """Show a statement that is about to run."""
        *comments, last = source.splitlines()
        for comment in comments:
            self._console.print(comment, style="green", soft_wrap=self._soft_wrap)
        self._console.print(f">>> {last}", style="cyan", soft_wrap=self._soft_wrap)

    def value(self, value: object) -> None:
        """Show what it gave."""
        self._result(repr(value))

    def error(self, error: PlivoError) -> None:
        """Show what it raised, and what it knows."""
        self._result(f"{type(error).__name__}: {error}", style="red")
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(error).items())
        self._result(facts)

    def _result(self, text: str, style: str = "") -> None:
        if self._soft_wrap:
            self._console.print(f"    {text}", style=style, soft_wrap=True)
        else:
            self._console.print(Padding(Text(text, style), (0, 0, 0, 4)))


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
    stage.title("All of it went over HTTP to that sandbox, which has ended. Start one for your own tries.")


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

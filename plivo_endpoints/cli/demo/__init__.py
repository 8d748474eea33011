"""`demo`: every operation, really carried out, against a sandbox in the same process."""

from __future__ import annotations

import asyncio
import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.cli.demo import script
from plivo_endpoints.cli.demo.stepper import walk, walk_async
from plivo_endpoints.cli.output import widened

if TYPE_CHECKING:
    from plivo_endpoints._errors import PlivoError
    from plivo_endpoints.sandbox import Sandbox

_ENDPOINTS: Final = 44  # the script makes the 45th
_MARGIN: Final = " " * 4


class _Console(Console):
    """Leaves a reader that left to `main`: rich would end the program, with another status."""

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

    It serves a sandbox on this machine, then creates, reads, updates, lists, mints a token and deletes, over
    HTTP, with the async client and the blocking one, and shows what errors look like, and how a create whose
    answer was lost is found again. Each line is the code that runs, with what came back below it.
    """
    from plivo_endpoints.sandbox import Sandbox  # noqa: PLC0415 - aiohttp's server costs the others nothing

    stage = ConsoleStage()
    with Sandbox(endpoints=_ENDPOINTS) as sandbox:
        stage.title(f"A sandbox with {_ENDPOINTS} endpoints")
        click.echo(f"export PLIVO_BASE_URL={sandbox.base_url}")
        click.echo(f"export PLIVO_AUTH_ID={sandbox.auth_id}")
        click.echo(f"export PLIVO_AUTH_TOKEN={sandbox.auth_token}")
        _script(stage, sandbox)
    stage.title("All of it went over HTTP to that sandbox, which has ended. Start one for your own tries:")
    click.echo(command_line(["sandbox"]))


def _script(stage: ConsoleStage, sandbox: Sandbox) -> None:
    credentials = (sandbox.auth_id, sandbox.auth_token)
    asyncio.run(_async_script(stage, AsyncClient(*credentials, base_url=sandbox.base_url)))
    with Client(*credentials, base_url=sandbox.base_url) as client:
        stage.title(f"{script.with_blocking_client.__doc__}")
        walk(script.with_blocking_client, stage, client=client)
        stage.title(f"{script.with_errors.__doc__}")
        walk(script.with_errors, stage, fails=True, client=client)
        _lose_next_answer(sandbox)
        stage.title(f"{script.with_a_lost_answer.__doc__}")
        walk(script.with_a_lost_answer, stage, fails=True, client=client)


async def _async_script(stage: ConsoleStage, client: AsyncClient) -> None:
    async with client:
        stage.title(f"{script.with_async_client.__doc__}")
        await walk_async(script.with_async_client, stage, client=client)


def _lose_next_answer(sandbox: Sandbox) -> None:
    from plivo_endpoints.sandbox import Fault  # noqa: PLC0415 - likewise

    sandbox.inject(Fault(applied=True, reset=True), method="POST")

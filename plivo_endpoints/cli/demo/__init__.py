"""`demo`: runs every operation against a sandbox in the same process."""

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
from plivo_endpoints.cli.output import with_usable_width

if TYPE_CHECKING:
    from plivo_endpoints._errors import PlivoError
    from plivo_endpoints.sandbox import Sandbox

_ENDPOINTS: Final = 44  # the script makes the 45th
_MARGIN: Final = " " * 4


class _Console(Console):
    """Leaves a closed pipe to `main`: rich would exit with another status."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class ConsoleStage:
    """Prints a walkthrough as an interactive Python session."""

    def __init__(self) -> None:
        # The terminal wraps code and words without spaces, so that they can be copied in one piece.
        self._console = with_usable_width(
            _Console(highlight=False, emoji=False, markup=False, soft_wrap=True)
        )
        # Lines are not wrapped in a file or pipe.
        self._width = self._console.width if self._console.is_terminal else sys.maxsize

    def title(self, text: str) -> None:
        """Print a heading."""
        self._console.print()
        self._text(text, style="bold")
        self._console.print()

    def code(self, source: str) -> None:
        """Print a statement that is about to run."""
        *comments, last = source.splitlines()
        for comment in comments:
            self._text(comment.removeprefix("# "), style="green", margin="# ")
        self._console.print(f">>> {last}", style="cyan")

    def value(self, value: object) -> None:
        """Print the statement's value."""
        self._text(repr(value), margin=_MARGIN)

    def error(self, error: PlivoError) -> None:
        """Print the error that it raised, with its attributes."""
        self._text(f"{type(error).__name__}: {error}", style="red", margin=_MARGIN)
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(error).items() if name[0] != "_")
        self._text(facts, margin=_MARGIN)

    def _text(self, text: str, *, style: str = "", margin: str = "") -> None:
        lines = wrap(text, self._width - len(margin), break_long_words=False, break_on_hyphens=False)
        self._console.print("\n".join(margin + line for line in lines), style=style)


@click.command
def demo() -> None:
    """Show every call against a sandbox. Needs no account.

    It serves a sandbox on this machine, and runs every operation over HTTP, with the async and the blocking
    client. Then it shows errors, and how to find the endpoint of a create whose answer was lost. Each line is
    the code that runs, followed by its result.
    """
    from plivo_endpoints.sandbox import Sandbox  # noqa: PLC0415 - other commands must not import aiohttp.web

    stage = ConsoleStage()
    with Sandbox(endpoints=_ENDPOINTS) as sandbox:
        stage.title(f"A sandbox with {_ENDPOINTS} endpoints")
        click.echo(f"export PLIVO_BASE_URL={sandbox.base_url}")
        click.echo(f"export PLIVO_AUTH_ID={sandbox.auth_id}")
        click.echo(f"export PLIVO_AUTH_TOKEN={sandbox.auth_token}")
        _script(stage, sandbox)
    stage.title("All of this went over HTTP to that sandbox, which has stopped. To start one of your own:")
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
    from plivo_endpoints.sandbox import Fault  # noqa: PLC0415 - as above

    sandbox.inject(Fault(applied=True, reset=True), method="POST")

"""Where a SIP password comes from: never from an argument, which other users can see in the process list."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

VARIABLE: Final = "PLIVO_ENDPOINT_PASSWORD"


def stdin_option(command: F) -> F:
    """Add the option `--password-stdin`."""
    return click.option(
        "--password-stdin", "from_stdin", is_flag=True, help="Read the SIP password from standard input."
    )(command)


def read_password(*, from_stdin: bool) -> str:
    """Return the password from standard input, the environment, or a hidden prompt, in this order."""
    if from_stdin:
        return _from_stdin()
    try:
        password = os.environ.get(VARIABLE) or _from_prompt()
        password.encode()  # bytes of a variable that are not UTF-8 are lone surrogates here
    except UnicodeError:
        password = ""
    if not password:
        # Not raised in the handlers, here and below, as a UnicodeError contains the password.
        raise click.UsageError(f"the SIP password, typed or in {VARIABLE}, must be UTF-8")
    return password


def _from_prompt() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"there is no terminal to prompt for the SIP password: use --password-stdin or {VARIABLE}"
        )
    try:
        answer: str = click.prompt("SIP password", hide_input=True, confirmation_prompt=True, err=True)
    except UnicodeDecodeError:
        click.echo(err=True)  # end the line of the prompt
        raise
    return answer


def _from_stdin() -> str:
    try:
        lines = sys.stdin.buffer.read().decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1:
        raise click.UsageError("standard input must hold the SIP password, one line of UTF-8")
    return lines[0]

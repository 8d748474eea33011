"""Where a SIP password comes from: never from an argument, which others can see in the list of processes."""

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
    """Give a command `--password-stdin`."""
    return click.option(
        "--password-stdin", "from_stdin", is_flag=True, help="Read the SIP password from standard input."
    )(command)


def read_password(*, from_stdin: bool) -> str:
    """Return the password from standard input, the environment, or a hidden prompt, in this order."""
    if from_stdin:
        return _from_stdin()
    if password := os.environ.get(VARIABLE):
        return password
    if not sys.stdin.isatty():
        raise click.UsageError(f"no terminal to ask for the SIP password: --password-stdin or {VARIABLE}")
    answer: str = click.prompt("SIP password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _from_stdin() -> str:
    try:
        lines = sys.stdin.buffer.read().decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1:
        # Raised out here: the decoder's exception holds what it read.
        raise click.UsageError("standard input must hold the SIP password, one line of UTF-8")
    return lines[0]

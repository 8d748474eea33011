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
    try:
        password = os.environ.get(VARIABLE) or _from_prompt()
        password.encode()  # a variable's other bytes are in it as halves of surrogate pairs
    except UnicodeError:
        password = ""
    if not password:
        # Raised out here, and below: the exceptions of encoder and decoder hold what was read.
        raise click.UsageError(f"the SIP password, typed or in {VARIABLE}, must be UTF-8")
    return password


def _from_prompt() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"no terminal to ask for the SIP password: --password-stdin or {VARIABLE}")
    try:
        answer: str = click.prompt("SIP password", hide_input=True, confirmation_prompt=True, err=True)
    except UnicodeDecodeError:
        click.echo(err=True)  # the prompt's line is still open
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

"""From an exception to a line on stderr and an exit status.

0 done, 1 refused or failed, 2 usage, 3 outcome unknown; 130 and 141, as the shell would say it, where Ctrl-C
or the reader of a pipe ended the command. With `--json` the line is a JSON document, still on stderr: what
reads standard output never meets an error where it expects an answer.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

import click

from plivo_endpoints._errors import InvalidArgumentError, ListChangedWarning, OutcomeUnknownError, PlivoError
from plivo_endpoints.cli.output import escape, to_json

if TYPE_CHECKING:
    from collections.abc import Generator

    from plivo_endpoints.cli.settings import Settings

FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130
READER_LEFT: Final = 141

_WHAT_NEXT: Final = """\
Do not run it again: that could make a second endpoint. To find out whether this one exists, run the line
below. It shows what it finds; (), after two minutes at most, means that nothing was created.
  {}"""

# What of an error's attributes the JSON form shows, where it has them.
_FACTS: Final = (
    "field",
    "rule",
    "status",
    "api_id",
    "attempts",
    "sent",
    "phase",
    "retry_after",
    "username",
    "alias",
    "sent_at",
    "endpoint_id",
)


class OutputLostError(click.ClickException):
    """Something was done, but standard output could not take the answer."""

    exit_code = UNKNOWN


@contextmanager
def told_anyway(fact: str) -> Generator[None]:
    """Tell `fact` on stderr if the output inside is lost: who runs a create again makes a second endpoint."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        raise OutputLostError(f"{fact}, but the output was lost: {error.strerror}") from error
    except KeyboardInterrupt as error:
        raise OutputLostError(f"{fact}, and then it was stopped") from error


@contextmanager
def told_of_interrupts() -> Generator[None]:
    """Tell what a create inside had made when Ctrl-C came in the instant after it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if notes := getattr(interrupt, "__notes__", None):
            raise OutputLostError(f"stopped. {' '.join(notes)}") from interrupt
        raise


def report(error: BaseException, settings: Settings) -> int:
    """Say on stderr what went wrong and return the exit status."""
    _settle_stdout()
    unknown = _unknown_outcome(error)
    if unknown is not None:
        _tell(unknown, str(unknown), settings, search=_search(unknown, settings))
        return UNKNOWN
    if isinstance(error, BrokenPipeError):
        return READER_LEFT  # `list | head` has what it wanted
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _tell(error, "stopped", settings)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        _tell(error, error.format_message(), settings)
        return error.exit_code
    _tell(error, str(error), settings)
    return USAGE if isinstance(error, InvalidArgumentError) else FAILED


def _unknown_outcome(error: BaseException) -> OutcomeUnknownError | None:
    # Ctrl-C during a create carries it as the cause.
    found = error if isinstance(error, PlivoError) else error.__cause__
    return found if isinstance(found, OutcomeUnknownError) else None


def _settle_stdout() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes once more on its way out, and would complain once more.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _tell(error: BaseException, message: str, settings: Settings, *, search: str | None = None) -> None:
    if settings.as_json:
        facts = {name: getattr(error, name) for name in _FACTS if getattr(error, name, None) is not None}
        next_step = {} if search is None else {"find_out_with": search}
        document = {"type": type(error).__name__, "message": message, **facts, **next_step}
        click.echo(to_json({"error": document}), err=True)
        return
    click.echo(f"Error: {escape(message)}", err=True)
    if search is not None:
        click.echo(_WHAT_NEXT.format(search), err=True)


def _search(error: OutcomeUnknownError, settings: Settings) -> str:
    """Return a command that finds out, with the client's own search and exactly what the error knows."""
    server = "" if settings.base_url is None else f"base_url={_literal(settings.base_url)}"
    code = (
        "from datetime import datetime; from plivo_endpoints import Client; "
        f"print(Client({server}).endpoints.find_created("
        f"username={_literal(error.username)}, alias={_literal(error.alias)}, "
        f"sent_at=datetime.fromisoformat({_literal(error.sent_at.isoformat())})))"
    )
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def _literal(text: str) -> str:
    # In double quotes, which stay as they are between a shell's single ones; repr's would not.
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escape(escaped)}"'


@contextmanager
def list_changes_in_one_line() -> Generator[None]:
    """Print a `ListChangedWarning` as a sentence, without the line of code that it came from."""
    usual = warnings.showwarning

    def show(  # noqa: PLR0917 - as the warnings module calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ListChangedWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ListChangedWarning)
        warnings.showwarning = show
        yield

"""Options that the commands of `provision` share, and how they run and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from plivo_endpoints._config import DEFAULT_RATE, RateLimit
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._events import logger
from plivo_endpoints._postgres import is_postgres_url
from plivo_endpoints._postgres_rate_limit import PostgresRateLimit
from plivo_endpoints._shared_rate_limit import SharedRateLimit
from plivo_endpoints.cli.errors import USAGE, Terminated
from plivo_endpoints.cli.output import escape
from plivo_endpoints.cli.provision.output import show_problems
from plivo_endpoints.provisioning import PostgresState, SourceError, SqliteState, StateError
from plivo_endpoints.provisioning._state._choice import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from plivo_endpoints._shared_window import RateLimitStore
    from plivo_endpoints.cli.options import Settings

State = SqliteState | PostgresState
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

EXIT_STATUS: Final = """
\b
Exit status:
  0    all rows are done, and the audit has found each endpoint once
  1    some rows failed or are unprocessed, or the command was refused or failed
  2    wrong usage, a source that breaks a rule, or no credentials;
       nothing was sent
  3    some rows need review, or the audit has found duplicates
  130  stopped by Ctrl-C
  143  stopped by SIGTERM or SIGHUP, which `kill`, a container's end, a
       timeout or a closed terminal sends
"""

STATE: Final = "plivo-fleet.db"
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_DIGITS: Final = 9
_WINDOW: Final = 5  # seconds, as Plivo counts requests


def state_option(*, exists: bool) -> Callable[[F], F]:
    """Add the option `--state`."""
    return click.option(
        "--state",
        default=STATE,
        show_default=True,
        metavar="FILE|URL",
        callback=partial(_read_state, exists=exists),
        help="The file that remembers which endpoint belongs to which row; or a database, "
        "postgresql://USER@HOST/DATABASE#FLEET, which several machines can use at once (the password is in "
        "PGPASSWORD or ~/.pgpass).",
    )


def per_second(rate: RateLimit | RateLimitStore) -> int:
    """Return how many requests per second a limit allows."""
    limit = rate if isinstance(rate, RateLimit) else rate.limit
    return round(limit.requests / limit.seconds)


def rate_option(command: F) -> F:
    """Add the option `--rate`."""
    return click.option(
        "--rate",
        metavar="N|FILE|URL",
        help="Requests per second, as this run's share of the account's quota; or a file with which all "
        "programs of this machine share it, or the postgresql:// URL of a database with which those of "
        "several machines do. [default: what PLIVO_RATE_LIMIT names, or the database of --state, or "
        f"{per_second(DEFAULT_RATE)}]",
    )(command)


def read_rate(given: str | None, state: State) -> RateLimit | RateLimitStore:
    """Return the rate limit that the value of `--rate` means, which must not be the file of the state."""
    if given is None:
        if isinstance(state, PostgresState) and not os.environ.get("PLIVO_RATE_LIMIT"):
            return _limit_beside(state)
        return DEFAULT_RATE
    if given.isdecimal() and len(given) <= _MOST_DIGITS:
        if int(given) < 1:
            raise _bad_rate("must be at least 1")
        return RateLimit(int(given) * _WINDOW, float(_WINDOW))
    try:
        if is_postgres_url(given):
            return PostgresRateLimit(given)
        if Path(given).suffix != ".db":  # a file with a name such as 5.5 would be an accident
            raise _bad_rate("must be a whole number, a file that ends in .db, or a postgresql:// URL")
        if isinstance(state, SqliteState) and state.path and Path(given).resolve() == state.path.resolve():
            raise _bad_rate("must be another file than the state")
        return SharedRateLimit(given)
    except InvalidArgumentError as error:
        raise _bad_rate(error.rule) from None


def _limit_beside(state: PostgresState) -> RateLimitStore:
    """Return a rate limit in the state's database: who shares a state shares the quota too."""
    try:
        return PostgresRateLimit(state.url.reveal())
    except InvalidArgumentError as error:
        raise StateError(error.rule) from None


def _bad_rate(problem: str) -> click.BadParameter:
    return click.BadParameter(problem, param_hint="'--rate'")


def only_option(command: F) -> F:
    """Add the option `--only`."""
    return click.option(
        "--only",
        multiple=True,
        metavar="KEY",
        callback=_none_if_empty,
        help="Only this row, by its key; may be repeated.",
    )(command)


def _none_if_empty(_: click.Context, __: click.Parameter, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    return keys or None


def shared_state_option(command: F) -> F:
    """Add the option `--state` for what needs a database."""
    return click.option(
        "--state",
        required=True,
        metavar="URL",
        callback=_read_shared_state,
        help="The database with the state: postgresql://USER@HOST/DATABASE#FLEET.",
    )(command)


def _read_shared_state(ctx: click.Context, parameter: click.Parameter, given: str) -> PostgresState:
    state = _read_state(ctx, parameter, given, exists=False)
    if not isinstance(state, PostgresState):
        raise click.BadParameter("must be a postgresql:// URL: a file is for one process at a time")
    return state


def _read_state(_: click.Context, __: click.Parameter, given: str, *, exists: bool) -> State:
    try:
        state = state_of(given)
    except InvalidArgumentError as error:
        raise click.BadParameter(error.rule) from None
    if isinstance(state, SqliteState) and state.path is not None:
        _check_path(state.path, exists=exists)
    return state


def _check_path(path: Path, *, exists: bool) -> None:
    if not path.name or path.is_dir():
        raise click.BadParameter("must name a file")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    if exists and not path.exists():
        raise click.BadParameter(f"there is no state {path}: the first `apply` creates it")


def has_begun(state: State, settings: Settings) -> bool:
    """Whether a state exists."""
    return run_to_end(state.exists(), settings)


def run_to_end(work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Run until done or a signal; print the problems of a source, and exit as for wrong usage."""
    try:
        with _warnings_printed(settings):
            return asyncio.run(_cancelled_by_signals(work))
    except SourceError as error:
        show_problems(error, settings)
        raise click.exceptions.Exit(USAGE) from None
    except asyncio.CancelledError:
        raise Terminated from None


@contextmanager
def _warnings_printed(settings: Settings) -> Generator[None]:
    """Print the library's warnings, such as that it is waiting for the server, while the block runs."""
    printer = _WarningPrinter(settings)
    logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(printer)


class _WarningPrinter(logging.Handler):
    def __init__(self, settings: Settings) -> None:
        super().__init__(logging.WARNING)
        self._settings = settings
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text != self._last and not self._settings.as_json:  # concurrent requests fail with the same text
            # Not click.echo, which would break the progress bar: rich only redirects sys.stderr.
            print(f"Warning: {escape(text)}", file=sys.stderr)
        self._last = text


async def _cancelled_by_signals(work: Coroutine[Any, Any, T]) -> T:
    """Cancel the work on the first SIGTERM or SIGHUP, as `asyncio.run` does on Ctrl-C."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # If SIGHUP is ignored, as under `nohup`, it stays ignored.
    numbers = [number for name in names if signal.getsignal(number := signal.Signals[name]) != signal.SIG_IGN]

    def end() -> None:
        for number in numbers:
            loop.add_signal_handler(number, lambda: None)  # a second signal must not interrupt the cleanup
        if task is not None:
            task.cancel()

    with suppress(RuntimeError, NotImplementedError):  # outside the main thread, and on Windows
        for number in numbers:
            loop.add_signal_handler(number, end)
    return await work

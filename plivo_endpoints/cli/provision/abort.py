"""Cleanup after an aborted run: keep a state to continue with, or remove its files if nothing was done."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from plivo_endpoints._errors import InvalidArgumentError, PlivoError
from plivo_endpoints._postgres import is_postgres_url, remove_password
from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.cli.options import NextStep, Settings
from plivo_endpoints.provisioning import (
    DeletionLimitError,
    PostgresState,
    SqliteState,
    StaleError,
    StateError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

    from plivo_endpoints.cli.provision.options import State

_NOT_RETRYABLE: Final = (
    DeletionLimitError,
    InvalidArgumentError,
    StaleError,
)  # the same command would fail again
_NOTHING_LOST: Final = "Nothing is lost. To continue:"
_NO_ROOM: Final = "Nothing is lost. Free some space on the disk of that file. Then, to continue:"
_FULL: Final = "disk is full"  # from SQLite's message
_SUFFIXES: Final = ("-wal", "-shm", "", "-lock")  # the lock is removed last


@contextmanager
def cleanup_on_abort(ctx: click.Context, state: State) -> Generator[None]:
    """If the block fails, show how to continue, or remove new state files if nothing was done."""
    made = _missing_files(state)
    try:
        yield
    except BaseException as error:
        may_go_on = isinstance(error, (PlivoError, KeyboardInterrupt)) and not isinstance(
            error, _NOT_RETRYABLE
        )
        is_full = isinstance(error, StateError) and _FULL in str(error)
        if is_full or (_has_begun(state, error, made, is_full=is_full) and may_go_on):
            settings = ctx.ensure_object(Settings)
            advice = _NO_ROOM if is_full else _NOTHING_LOST
            settings.next_step = NextStep("go_on_with", advice, _rerun_command(ctx, settings))
        raise


def _missing_files(state: State) -> Collection[Path]:
    """Return the files that a state would create."""
    if isinstance(state, PostgresState) or state.path is None:
        return ()
    path = state.path.resolve()
    files = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    return [] if path.exists() else [file for file in files if not file.exists()]


def _has_begun(state: State, error: BaseException, made: Collection[Path], *, is_full: bool) -> bool:
    if isinstance(state, PostgresState):
        return not isinstance(error, StateError)  # the database cannot be used
    path = state.path
    # On a full disk the state cannot be opened, and none of its files may be removed.
    if path is None or not path.exists() or is_full:
        return False
    return asyncio.run(_remove_unless_begun(path.resolve(), made))


async def _remove_unless_begun(path: Path, made: Collection[Path]) -> bool:
    """Return whether a state contains a run; if not, remove those of its files that this command created."""
    state = SqliteState(path)
    try:
        await state.open()  # takes the lock, so that no other process uses the state while it is removed
    except StateError:
        return False
    try:
        begun = "planned" in await state.facts()  # before that, a run starts over
        if not begun:
            _remove(made)
    finally:
        await state.close()
    return begun


def _remove(files: Collection[Path]) -> None:
    with suppress(OSError):  # Windows does not remove open files
        for file in files:
            file.unlink(missing_ok=True)


def _rerun_command(ctx: click.Context, settings: Settings) -> str:
    """Return the command line that was given."""
    words = ["provision", ctx.command.name or ""]
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if value is None or value is False or value == parameter.get_default(ctx):
            continue
        name = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
        values = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for each in values:
            words += name if each is True else _words(name, each)
    return command_line([*words, *(["--json"] if settings.as_json else [])], base_url=settings.base_url)


def _words(name: list[str], value: object) -> list[str]:
    """Return the words for an option with its value, or for an argument; the value may begin with -."""
    word = str(value)
    if is_postgres_url(word):
        word = remove_password(word)  # libpq may find it elsewhere
    if not word.startswith("-") or word == "-":  # - alone is standard input
        return [*name, word]
    return (
        [*name, f"./{word}"] if isinstance(value, (Path, SqliteState)) or not name else [f"{name[0]}={word}"]
    )

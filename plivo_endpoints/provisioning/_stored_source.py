"""The rows of a state as a source, for workers that do not have the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._errors import SourceError, StateError
from plivo_endpoints.provisioning._load import chunks
from plivo_endpoints.provisioning._marks import derived_version
from plivo_endpoints.provisioning._rows import Problem, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._postgres import PostgresState

_NOT_STORED: Final = "password: is not kept in the database: leave it out, to have it derived, or use apply"


class StoredSource:
    """The rows of a state, whose passwords are derived; it yields what the file that was applied yielded."""

    def __init__(self, state: PostgresState) -> None:
        self._state = state

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in batches, each on a connection of its own: a run may take hours to read them."""
        last = 0
        while batch := self._state.read_rows(after=last):
            yield from map(_row, batch)
            last = batch[-1].number


def _row(entry: Entry) -> Row:
    version = derived_version(entry.wanted.password)
    if version is None:
        raise StateError(
            f"{entry.key!r} has a password of its own, which is only in the source: use apply with the source"
        )
    return Row(
        key=entry.key,
        username=entry.wanted.username,
        alias=entry.wanted.alias,
        app_id=entry.wanted.app_id,
        password_version=version,
        line=entry.line,
    )


async def check_derived(source: RowSource) -> None:
    """Raise `SourceError` if rows have passwords of their own, which a state cannot keep."""
    problems: list[Problem] = []
    async for first, chunk in chunks(source):
        problems += [
            Problem(row.line or number, _NOT_STORED, row.key, getattr(source, "path", None))
            for number, row in enumerate(chunk, first)
            if isinstance(row, Row) and row.password is not None
        ]
    if problems:
        raise SourceError(tuple(problems))

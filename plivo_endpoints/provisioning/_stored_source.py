"""The rows of a state as a source, for workers that do not have the file."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from plivo_endpoints._postgres import explain, read_url
from plivo_endpoints.provisioning._errors import SourceError, StateError
from plivo_endpoints.provisioning._load import chunks, file_of
from plivo_endpoints.provisioning._marks import derived_version
from plivo_endpoints.provisioning._rows import Problem, Row
from plivo_endpoints.provisioning._state._columns import COLUMNS, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._postgres import PostgresState

_PAUSES: Final = (0.0, 0.5, 2.0, 8.0)  # seconds before each attempt to read rows
_ROWS: Final = (
    f"SELECT {', '.join(COLUMNS)} FROM plivo_rows WHERE number > %s"  # noqa: S608 - our own names
    " AND fleet = (SELECT id FROM plivo_fleets WHERE name = %s) ORDER BY number LIMIT 500"
)
_NOT_STORED: Final = "password: is not kept in the database: leave it out, to have it derived, or use apply"


class StoredSource:
    """The rows of a state, whose passwords are derived; it yields what the file that was applied yielded."""

    def __init__(self, state: PostgresState) -> None:
        self._state = state

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in batches, each on a connection of its own: a run may take hours to read them."""
        last = 0
        while batch := self._read(last):
            yield from map(_row, batch)
            last = batch[-1].number

    def _read(self, after: int) -> list[Entry]:
        """Return the first rows whose number is above `after`; it blocks, as it runs in a thread."""
        from psycopg import Error, connect  # noqa: PLC0415 - an extra

        problem = ""
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                with connect(**read_url(self._state.url, argument="state")) as connection:
                    rows = connection.execute(_ROWS.encode(), (after, self._state.fleet)).fetchall()
                return [entry_of(row) for row in rows]
            except Error as error:
                problem = explain(error)
        # Raised here, as the frames of psycopg's error hold the password.
        raise StateError(f"cannot use {self._state.name}: {problem}")


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
    file = file_of(source)
    async with aclosing(chunks(source)) as reading:
        async for first, chunk in reading:
            problems += [
                Problem(row.line or number, _NOT_STORED, row.key, file)
                for number, row in enumerate(chunk, first)
                if isinstance(row, Row) and row.password is not None
            ]
    if problems:
        raise SourceError(tuple(problems))

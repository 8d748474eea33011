"""The default state: one SQLite file.

A create must never be sent without a surviving intent. Four guarantees together ensure that:

- The worker sends only after `save` has returned (`_create`).
- `save` returns only after COMMIT has returned (`_group_commit`).
- COMMIT, in WAL mode with `synchronous=FULL`, returns only after the log was synced. With NORMAL it would
  return earlier, and a power failure would lose acknowledged intents.
- A WAL is replayed up to its last complete, checksummed commit, so a torn write loses only what was not yet
  acknowledged.

One fsync serves all requests that wait at the same time (group commit), so the disk keeps up with any quota.
A separate thread keeps the loop from waiting for it. A lock that ends with the process ensures that two
processes never work on one state. No password is stored: there is no column for it.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TypeVar

from plivo_endpoints.provisioning._entries import Entry, RowState
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._columns import COLUMNS, FIXED, entry_of, values_of
from plivo_endpoints.provisioning._state._file import (
    check_file,
    connect,
    copy_state,
    in_use,
    is_new,
    locked,
    make_private,
    reading,
    transaction,
)
from plivo_endpoints.provisioning._state._group_commit import Committer
from plivo_endpoints.provisioning._state._protocol import LOWEST, opened
from plivo_endpoints.provisioning._state._tables import SCHEMA, insert, take_up

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
    from os import PathLike

    from plivo_endpoints.provisioning._state._group_commit import Work
    from plivo_endpoints.provisioning._state._protocol import Clash, EntryStore, Transition

T = TypeVar("T")

_BATCH: Final = 500
_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM rows"  # noqa: S608 - our own names
_REPLACE: Final = (
    f"UPDATE rows SET {', '.join(f'{name} = ?' for name in COLUMNS[FIXED:])}"  # noqa: S608 - our own names
    " WHERE key = ? AND state = ? AND epoch = ?"
)
_PUT: Final = f"INSERT INTO rows ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own names
# Only endpoints that a create of this state has made.
_SUFFIX_LENGTHS: Final = (
    "SELECT DISTINCT length(made_as) - length(known_username) FROM rows"
    " WHERE epoch > 0 AND endpoint_id IS NOT NULL AND made_as GLOB known_username || '[0-9]*'"
    " AND substr(made_as, length(known_username) + 1) NOT GLOB '*[^0-9]*'"
)
_COUNT: Final = (
    "SELECT state, count(*) FROM rows"
    " WHERE number > 0 OR state IN ('intent', 'parked', 'undeleted', 'deleted', 'failed', 'review')"
    " GROUP BY state"
)
_HELD: Final = (
    "SELECT count(*), count(CASE WHEN number < 0 THEN 1 END) FROM rows"
    " WHERE endpoint_id IS NOT NULL AND state NOT IN ('found', 'deleted')"
)


class SqliteState:
    """A state in a file that only its owner may read, with `-wal` and `-shm` files beside it.

    Args:
        path: The file, created if it does not exist. `None` uses a temporary file that is deleted on close.
        read_only: Open for reading only; also possible while another process uses it.
    """

    def __init__(self, path: str | PathLike[str] | None, *, read_only: bool = False) -> None:
        self.path: Path | None = None if path is None else Path(path)
        self._read_only = read_only
        self._committer: Committer | None = None  # set while it is open

    async def open(self) -> None:
        """Start its thread and take its lock; see `FleetState`."""
        if self._committer is not None:
            raise StateError(f"the state {self.path} is open already")
        self._committer = Committer(self._connected, name=str(self.path))
        self._committer.start()
        try:
            await self._run(lambda _: None)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish all writes and release the lock; see `FleetState`."""
        if self._committer is not None:
            try:
                await self._committer.stop()
            finally:  # even if the wait for the thread is cancelled, as the thread ends anyway
                self._committer = None

    def __str__(self) -> str:
        return str(self.path)

    async def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path is not None and self.path.exists()

    def read_only(self) -> SqliteState:
        """See `FleetState`."""
        return SqliteState(self.path, read_only=True)

    @asynccontextmanager
    async def scratch_copy(self) -> AsyncGenerator[SqliteState]:
        """See `FleetState`."""
        if self.path is None or not self.path.exists():
            async with opened(SqliteState(None)) as scratch:
                yield scratch
            return
        with TemporaryDirectory(prefix="plivo-endpoints-") as folder:
            copy = Path(folder) / self.path.name
            await asyncio.to_thread(copy_state, self.path, copy)
            async with opened(SqliteState(copy)) as scratch:
                yield scratch

    async def facts(self) -> Mapping[str, str]:
        """See `FleetState`."""
        return await self._run(lambda db: dict(db.execute("SELECT name, value FROM facts").fetchall()))

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        rows = tuple(facts.items())
        await self._run(lambda db: db.executemany("REPLACE INTO facts VALUES (?, ?)", rows))

    async def put(self, rows: Sequence[tuple[str | int | float | None, ...]]) -> None:
        """Add rows of another state as they are."""
        await self._run(lambda db: db.executemany(_PUT, rows))

    async def clear(self) -> None:
        """See `FleetState`."""
        await self._run(lambda db: db.execute("DELETE FROM rows"))

    async def discard(self) -> None:
        """See `FleetState`."""
        await self._run(lambda db: db.execute("DELETE FROM incoming"))

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """See `FleetState`."""
        return await self._run(lambda db: [clash for entry in entries for clash in insert(db, entry)])

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""

        def work(db: sqlite3.Connection) -> None:
            take_up(db)
            db.executemany("REPLACE INTO facts VALUES (?, ?)", facts.items())

        await self._run(work)

    async def save(self, changes: Sequence[Transition]) -> None:
        """See `FleetState`."""
        is_alone = len(changes) == 1  # several changes already share their costs
        await self._run(lambda db: _replace(db, changes), delayed=is_alone)

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """See `FleetState`."""
        marks = ", ".join("?" * len(states))
        last = "" if up_to is None else f" AND number <= {up_to:d}"
        query = f"{_SELECT} WHERE number > ?{last} AND state IN ({marks}) ORDER BY number LIMIT ?"
        return await self._select(query, after, *(state.value for state in states), limit)

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """See `FleetState`."""
        # The plus sign keeps SQLite from using the index on `number`, which would read all rows.
        marks = ", ".join("?" * len(states))
        query = (
            f"{_SELECT} WHERE replaces IS NOT NULL AND endpoint_id IS NOT NULL"
            f" AND state IN ({marks}) ORDER BY +number LIMIT ?"
        )
        return await self._select(query, *(state.value for state in states), limit)

    async def find_key(self, key: str) -> Entry | None:
        """See `FleetState`."""
        found = await self._select(f"{_SELECT} WHERE key = ?", key)
        return found[0] if found else None

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        marks = ", ".join("?" * len(usernames))
        query = (
            f"{_SELECT} WHERE number > 0 AND wanted_username IN ({marks})"
            f" UNION {_SELECT} WHERE sent_username IN ({marks})"
        )
        return await self._select(query, *usernames, *usernames)

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        marks = ", ".join("?" * len(endpoint_ids))
        query = (
            f"{_SELECT} WHERE endpoint_id IN ({marks}) AND state NOT IN ('found', 'deleted')"
            f" UNION {_SELECT} WHERE replaces IN ({marks})"
        )
        return await self._select(query, *endpoint_ids, *endpoint_ids)

    async def suffix_lengths(self) -> Collection[int]:
        """See `FleetState`."""
        return await self._run(lambda db: [length for (length,) in db.execute(_SUFFIX_LENGTHS)])

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`."""
        return await self._run(lambda db: {RowState(state): number for state, number in db.execute(_COUNT)})

    async def count_held(self) -> tuple[int, int]:
        """See `FleetState`."""
        return await self._run(lambda db: tuple(db.execute(_HELD).fetchone()))

    async def _select(self, query: str, *values: str | int) -> Sequence[Entry]:
        return await self._run(lambda db: [entry_of(row) for row in db.execute(query, values)])

    def _run(self, work: Work[T], *, delayed: bool = False) -> asyncio.Future[T]:
        if self._committer is None:
            raise StateError("the state is closed")
        return self._committer.run(work, delayed=delayed)

    @contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        with ExitStack() as stack:
            if self.path is not None and (self._read_only or self.path.exists()):
                check_file(self.path)
            if self.path is not None and self._read_only:
                connection = stack.enter_context(reading(self.path))
                self._prepare(connection)
            elif self.path is not None:
                stack.enter_context(locked(self.path))
                make_private(self.path)
                connection = stack.enter_context(closing(connect(self.path)))
                self._prepare(connection)
                stack.enter_context(in_use(connection))
            else:
                connection = stack.enter_context(closing(connect(None)))
                self._prepare(connection)
            yield connection

    def _prepare(self, db: sqlite3.Connection) -> None:
        empty = is_new(db, self.path)
        if self._read_only:
            if empty:
                raise StateError(f"{self.path} is not a state of this program")
            db.execute("PRAGMA query_only = ON")
            return
        if self.path is not None:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            # On macOS a plain fsync leaves the data in the drive's cache; elsewhere these change nothing.
            db.execute("PRAGMA fullfsync = ON")
            db.execute("PRAGMA checkpoint_fullfsync = ON")
        if empty:
            with transaction(db):
                for statement in SCHEMA:
                    db.execute(statement)


async def fill(scratch: SqliteState, state: EntryStore) -> None:
    """Copy the contents of another state into an empty one."""
    await scratch.note(await state.facts())
    after = LOWEST
    while batch := await state.read(after=after, limit=_BATCH, states=tuple(RowState)):
        await scratch.put([values_of(entry) for entry in batch])
        after = batch[-1].number


def _replace(db: sqlite3.Connection, changes: Sequence[Transition]) -> None:
    for before, after in changes:
        values = values_of(after)[FIXED:]
        done = db.execute(_REPLACE, (*values, before.key, before.state.value, before.epoch))
        if done.rowcount != 1:
            raise StateError(f"row {before.number} was changed by another process")

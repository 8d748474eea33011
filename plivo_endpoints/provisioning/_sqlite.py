"""The default journal: one SQLite file.

What must never happen is a create that was sent and of which no intent survives. The chain that prevents it
has four links, and each is somebody's promise. The worker sends only after `save` has returned (`_sending`).
`save` returns only after COMMIT has (`_committer`). COMMIT, in WAL mode with `synchronous=FULL`, returns only
after the log was synced; with NORMAL it would not, and a power cut would take acknowledged intents along. And
a WAL is replayed up to its last whole, checksummed commit, so a torn write costs only what nobody was told is
safe. The rest is comfort: one fsync serves all who wait at the same time (group commit), so that the disk can
keep up with any quota; an own thread, so that the loop never waits for it; a lock that dies with the process,
so that two of them never work on one journal. Nothing in here knows a password: there is no column for it.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from plivo_endpoints.provisioning._committer import Committer
from plivo_endpoints.provisioning._editions import (
    COLUMNS,
    SCHEMA,
    entry_of,
    find_refusals,
    insert,
    take_up,
    values_of,
)
from plivo_endpoints.provisioning._errors import JournalError
from plivo_endpoints.provisioning._journal_file import (
    check_file,
    connect,
    in_use,
    is_new,
    locked,
    make_private,
    reading,
    transaction,
)
from plivo_endpoints.provisioning._states import Entry, State

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Collection, Generator, Mapping, Sequence
    from os import PathLike

    from plivo_endpoints.provisioning._committer import Work
    from plivo_endpoints.provisioning._journal import Change, Clash, Refusal

T = TypeVar("T")

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM rows"  # noqa: S608 - our own names
_REPLACE: Final = (
    "UPDATE rows SET state=?, epoch=?, lost=?, intent_at=?, endpoint_id=?, made_as=?, reason=?, edition=?"
    " WHERE key=? AND state=? AND epoch=?"
)
_FIXED: Final = COLUMNS.index("state")  # so many columns change with an edition only
_SUFFIX_LENGTHS: Final = (
    "SELECT DISTINCT length(made_as) - length(username) FROM rows"
    " WHERE state=? AND made_as GLOB username || '[0-9]*'"
)


class SqliteJournal:
    """A journal in a file that only its owner may read, as its `-wal` and `-shm` beside it.

    Args:
        path: Where; made if there is none. `None` keeps it in a temporary file that vanishes with it.
        read_only: Only look, also while another process works on it.
    """

    def __init__(self, path: str | PathLike[str] | None, *, read_only: bool = False) -> None:
        self.path: Path | None = None if path is None else Path(path)
        self._read_only = read_only
        self._committer: Committer | None = None  # while it is open

    async def open(self) -> None:
        """Start its thread and take its lock; see `Journal`."""
        if self._committer is not None:
            raise JournalError(f"the journal {self.path} is open already")
        self._committer = Committer(self._connected, name=str(self.path))
        self._committer.start()
        try:
            await self._run(lambda _: None)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish, and let go of the lock; see `Journal`."""
        if self._committer is not None:
            try:
                await self._committer.stop()
            finally:  # even if the wait for its thread is cut short: that ends all the same
                self._committer = None

    async def facts(self) -> Mapping[str, str]:
        """See `Journal`."""
        return await self._run(lambda db: dict(db.execute("SELECT name, value FROM facts").fetchall()))

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `Journal`."""
        rows = tuple(facts.items())
        await self._run(lambda db: db.executemany("REPLACE INTO facts VALUES (?, ?)", rows))

    async def clear(self) -> None:
        """See `Journal`."""
        await self._run(lambda db: db.execute("DELETE FROM rows"))

    async def discard(self) -> None:
        """See `Journal`."""
        await self._run(lambda db: db.execute("DELETE FROM incoming"))

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """See `Journal`."""
        return await self._run(lambda db: [clash for entry in entries for clash in insert(db, entry)])

    async def take_up(self, edition: int, facts: Mapping[str, str]) -> Sequence[Refusal]:
        """See `Journal`."""

        def work(db: sqlite3.Connection) -> Sequence[Refusal]:
            if refusals := find_refusals(db):
                return refusals
            take_up(db, edition)
            db.executemany("REPLACE INTO facts VALUES (?, ?)", facts.items())
            return ()

        return await self._run(work)

    async def count_gone(self) -> int:
        """See `Journal`."""
        query = "SELECT count(*) FROM rows WHERE number = 0"
        return await self._run(lambda db: int(db.execute(query).fetchone()[0]))

    async def save(self, changes: Sequence[Change]) -> None:
        """See `Journal`."""
        is_alone = len(changes) == 1  # many are company enough
        await self._run(lambda db: _replace(db, changes), delayed=is_alone)

    async def read(self, *, after: int, limit: int, states: Collection[State]) -> Sequence[Entry]:
        """See `Journal`."""
        marks = ", ".join("?" * len(states))
        query = f"{_SELECT} WHERE number > ? AND state IN ({marks}) ORDER BY number LIMIT ?"
        values = (after, *(state.value for state in states), limit)
        return await self._run(lambda db: [entry_of(row) for row in db.execute(query, values)])

    async def find(self, aliases: Collection[str]) -> Sequence[Entry]:
        """See `Journal`."""
        query = f"{_SELECT} WHERE number > 0 AND alias IN ({', '.join('?' * len(aliases))})"
        return await self._run(lambda db: [entry_of(row) for row in db.execute(query, tuple(aliases))])

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `Journal`."""
        marks = ", ".join("?" * len(endpoint_ids))
        query = f"{_SELECT} WHERE endpoint_id IN ({marks}) AND state != ?"
        values = (*endpoint_ids, State.CONFLICT.value)
        return await self._run(lambda db: [entry_of(row) for row in db.execute(query, values)])

    async def suffix_lengths(self) -> Collection[int]:
        """See `Journal`."""
        values = (State.CREATED.value,)
        return await self._run(lambda db: [length for (length,) in db.execute(_SUFFIX_LENGTHS, values)])

    async def count(self) -> Mapping[State, int]:
        """See `Journal`."""
        query = "SELECT state, count(*) FROM rows WHERE number > 0 GROUP BY state"
        return await self._run(lambda db: {State(state): number for state, number in db.execute(query)})

    def _run(self, work: Work[T], *, delayed: bool = False) -> asyncio.Future[T]:
        if self._committer is None:
            raise JournalError("the journal is closed")
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
                raise JournalError(f"{self.path} is not a journal of this program")
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


def _replace(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    for before, after in changes:
        values = values_of(after)[_FIXED:]
        done = db.execute(_REPLACE, (*values, before.key, before.state.value, before.epoch))
        if done.rowcount != 1:
            raise JournalError(f"row {before.number} was changed by somebody else")

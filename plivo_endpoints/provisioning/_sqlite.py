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

import sqlite3
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import fields

from plivo_endpoints.provisioning._committer import Committer
from plivo_endpoints.provisioning._errors import JournalError
from plivo_endpoints.provisioning._journal import Change, Clash
from plivo_endpoints.provisioning._journal_file import (
    APPLICATION,
    CLOSED,
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
    from collections.abc import Collection, Generator, Mapping, Sequence
    from os import PathLike

    from plivo_endpoints.provisioning._committer import Work

T = TypeVar("T")

_COLUMNS: Final = tuple(field.name for field in fields(Entry))
_UNIQUE: Final = ("username", "alias", "key")
_FIXED: Final = _COLUMNS.index("state")  # so many columns never change
_SCHEMA: Final = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE rows (
        number INTEGER PRIMARY KEY, line INTEGER NOT NULL,
        key TEXT NOT NULL UNIQUE, username TEXT NOT NULL UNIQUE, alias TEXT NOT NULL UNIQUE, app_id TEXT,
        state TEXT NOT NULL, epoch INTEGER NOT NULL, lost INTEGER NOT NULL, intent_at REAL,
        endpoint_id TEXT, made_as TEXT, reason TEXT)""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {CLOSED}",
)
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM rows"  # noqa: S608 - our own names
_INSERT: Final = f"INSERT INTO rows VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - question marks
_REPLACE: Final = (
    "UPDATE rows SET state=?, epoch=?, lost=?, intent_at=?, endpoint_id=?, made_as=?, reason=?"
    " WHERE number=? AND state=? AND epoch=?"
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

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """See `Journal`."""

        def work(db: sqlite3.Connection) -> list[Clash]:
            return [clash for entry in entries for clash in _insert(db, entry)]

        return await self._run(work)

    async def save(self, changes: Sequence[Change]) -> None:
        """See `Journal`."""
        is_alone = len(changes) == 1  # many are company enough
        await self._run(lambda db: _replace(db, changes), delayed=is_alone)

    async def read(self, *, after: int, limit: int, states: Collection[State]) -> Sequence[Entry]:
        """See `Journal`."""
        marks = ", ".join("?" * len(states))
        query = f"{_SELECT} WHERE number > ? AND state IN ({marks}) ORDER BY number LIMIT ?"
        values = (after, *(state.value for state in states), limit)
        return await self._run(lambda db: [_entry(row) for row in db.execute(query, values)])

    async def find(self, aliases: Collection[str]) -> Sequence[Entry]:
        """See `Journal`."""
        query = f"{_SELECT} WHERE alias IN ({', '.join('?' * len(aliases))})"
        return await self._run(lambda db: [_entry(row) for row in db.execute(query, tuple(aliases))])

    async def count(self) -> Mapping[State, int]:
        """See `Journal`."""
        query = "SELECT state, count(*) FROM rows GROUP BY state"
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
                for statement in _SCHEMA:
                    db.execute(statement)


def _values(entry: Entry) -> tuple[str | int | float | None, ...]:
    # Not attrs' astuple: the state is stored by its value.
    return (
        *(entry.number, entry.line, entry.key, entry.username, entry.alias, entry.app_id),
        *(entry.state.value, entry.epoch, entry.lost, entry.intent_at),
        *(entry.endpoint_id, entry.made_as, entry.reason),
    )


def _entry(row: Sequence[Any]) -> Entry:
    known: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    known["state"] = State(known["state"])
    return Entry(**known)


def _insert(db: sqlite3.Connection, entry: Entry) -> list[Clash]:
    with suppress(sqlite3.IntegrityError):
        db.execute(_INSERT, _values(entry))
        return []
    clashes: list[Clash] = []
    for field in _UNIQUE:
        row = db.execute(f"{_SELECT} WHERE {field} = ?", (getattr(entry, field),)).fetchone()
        if row is not None:
            clashes.append(Clash(entry, field, _entry(row)))
    if not clashes:
        raise JournalError(f"entry {entry.number} was added twice")
    if clashes[0].field == "username" and entry.key == entry.username:
        return [clash for clash in clashes if clash.field != "key"]  # without a key of its own, that says it
    return clashes


def _replace(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    for before, after in changes:
        values = _values(after)[_FIXED:]
        done = db.execute(_REPLACE, (*values, before.number, before.state.value, before.epoch))
        if done.rowcount != 1:
            raise JournalError(f"row {before.number} was changed by somebody else")

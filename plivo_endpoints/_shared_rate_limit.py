"""A rate limit that the processes of one host share through a file."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from plivo_endpoints._config import RateLimit
from plivo_endpoints._errors import InvalidArgumentError, RateLimitStoreError
from plivo_endpoints._sansio.pacing import Pace
from plivo_endpoints._validation import check_count, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from plivo_endpoints._config import Priority
    from plivo_endpoints._sansio.pacing import Reservation

T = TypeVar("T")

_APPLICATION: Final = 0x504C5251  # identifies the format, also for the `file` command
_VERSION: Final = 1
_SCHEMA: Final = (
    # Times are of the monotonic clock, which all processes of a host share; `written` shows a restart of it.
    """CREATE TABLE IF NOT EXISTS paces (
        account TEXT PRIMARY KEY, next_place REAL NOT NULL, paused_until REAL NOT NULL, written REAL NOT NULL
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
# Less than for one process: the time between sending and arriving differs more between several.
_DEFAULT: Final = RateLimit(280, 5.0)
_READ: Final = "SELECT next_place, paused_until, written FROM paces WHERE account = ?"
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_BUSY_PAUSE: Final = 0.005  # seconds
_LONGEST_BUSY: Final = 2.0  # seconds


@frozen
class _OpenFile:
    db: sqlite3.Connection
    owner: int  # id of the process that opened it
    inode: int


class SharedRateLimit:
    """A rate limit for all processes of this host that use the same file.

    ```python
    client = AsyncClient(rate_limit=SharedRateLimit("/var/lib/app/plivo-quota.db"))
    ```

    Pass it to the clients of web workers, cron jobs and shells alike, or set `PLIVO_RATE_LIMIT` to the file's
    path. Requests of all of them are spaced evenly, and a 429 that one receives pauses all. Requests of
    clients with `priority="bulk"`, as those of provisioning, only get what the others leave. If a process is
    killed, the few places that it had reserved are lost. A file on a network drive does not work.

    While the file cannot be used, because the disk is full for example, each client logs a warning and
    keeps to its share of the limit.

    Args:
        path: The file, created if it does not exist. It contains account ids and times, and no credentials.
        limit: The limit of all processes together. The default leaves room for requests that are delayed on
            the way, as Plivo counts 300 in 5 seconds when they arrive.
        processes: How many processes share it at most.

    Raises:
        InvalidArgumentError: If the file cannot be created or is not a rate limit, or an argument is invalid.
    """

    def __init__(
        self, path: str | PathLike[str], limit: RateLimit = _DEFAULT, *, processes: int = 10
    ) -> None:
        require("path", _kind_problem(path, (str, os.PathLike), "must be a path"))
        require("limit", _kind_problem(limit, RateLimit, "must be a RateLimit"))
        check_count("processes", processes, 1)
        self.path: Path = Path(path).absolute()
        self.limit: RateLimit = limit
        self.processes: int = processes
        self._gap = limit.seconds / limit.requests
        self._lock = Lock()
        self._open_file: _OpenFile | None = None
        self._inherited: list[_OpenFile] = []  # by a forked process, in which it must not be closed
        try:
            with closing(self._open()):  # raise now rather than in the first call
                pass
        except (OSError, sqlite3.Error, RateLimitStoreError) as error:
            raise InvalidArgumentError("rate_limit", f"cannot use {self.path}: {error}") from None

    async def reserve(self, account: str, places: int, *, priority: Priority) -> Reservation:
        """See `RateLimitStore`."""
        return await self._change(
            account, lambda pace, now: pace.reserve(now, places, gap=self._gap, priority=priority)
        )

    async def pause(self, account: str, seconds: float) -> None:
        """See `RateLimitStore`."""
        await self._change(account, lambda pace, now: (pace.pause(now + seconds), None))

    async def _change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        # Without a thread: this takes less time than to wake one, and nothing is synced to the disk.
        deadline = time.monotonic() + _LONGEST_BUSY
        while True:
            try:
                with self._lock:
                    return self._try_change(account, change)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", None) not in _BUSY or time.monotonic() > deadline:
                    raise self._failure(error) from None
            except OSError as error:
                raise self._failure(error) from None
            await asyncio.sleep(random.uniform(0, _BUSY_PAUSE))  # noqa: S311 - to avoid the others

    def _try_change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        db = self._connect()
        try:
            db.execute("BEGIN IMMEDIATE")
            now = time.monotonic()
            next_place, paused_until, written = db.execute(_READ, (account,)).fetchone() or (0.0, 0.0, 0.0)
            before = Pace(next_place, paused_until) if written <= now else Pace()  # the host was restarted
            after, result = change(before, now)
            row = (account, after.next_place, after.paused_until, now)
            db.execute("REPLACE INTO paces VALUES (?, ?, ?, ?)", row)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result

    def _connect(self) -> sqlite3.Connection:
        known = self._open_file
        inode = self.path.stat().st_ino if self.path.exists() else None
        if known is not None:
            if (known.owner, known.inode) == (os.getpid(), inode):
                return known.db
            if known.owner == os.getpid():  # the file was removed
                known.db.close()
            else:
                self._inherited.append(known)
        db = self._open()
        self._open_file = _OpenFile(db, os.getpid(), self.path.stat().st_ino)
        return db

    def _open(self) -> sqlite3.Connection:
        if not self.path.parent.is_dir():
            raise RateLimitStoreError(f"there is no folder {self.path.parent}")
        db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and (application or tables):
            raise RateLimitStoreError("it is not a rate limit of this program")
        if application == _APPLICATION and version != _VERSION:
            raise RateLimitStoreError("it is a rate limit of another version of this program")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # after a power failure, nothing in it is of interest
        if not tables:
            for statement in _SCHEMA:
                db.execute(statement)
        db.execute("PRAGMA busy_timeout = 0")  # from now on the loop must not be blocked

    def _failure(self, error: Exception) -> RateLimitStoreError:
        return RateLimitStoreError(f"the shared rate limit {self.path} cannot be used: {error}")


def _kind_problem(value: object, kind: type | tuple[type, ...], rule: str) -> str | None:
    return None if isinstance(value, kind) and value else rule

"""A rate limit that the processes of one host share through a file."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._config import DEFAULT_SHARED_RATE, RateLimit
from plivo_endpoints._errors import InvalidArgumentError, RateLimitStoreError
from plivo_endpoints._sansio.pacing import Pace
from plivo_endpoints._validation import check_count, require

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from os import PathLike

    from plivo_endpoints._config import Priority
    from plivo_endpoints._sansio.pacing import Reservation

T = TypeVar("T")

_APPLICATION: Final = 0x504C5251  # identifies the format, also for the `file` command
_VERSION: Final = 1
_SCHEMA: Final = (
    # Times are of the monotonic clock, which all processes of a host share; `written` shows a restart of it.
    """CREATE TABLE paces (
        account TEXT PRIMARY KEY, next_place REAL NOT NULL, paused_until REAL NOT NULL, written REAL NOT NULL
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_READ: Final = "SELECT next_place, paused_until, written FROM paces WHERE account = ?"
_HEADER: Final = 72  # bytes; https://www.sqlite.org/fileformat.html#the_database_header
_BUSY_PAUSE: Final = 0.005  # seconds
_LONGEST_BUSY: Final = 0.5  # seconds

# A child that is forked while a thread has the file open would inherit SQLite's notes of locks that it does
# not have. So no process is forked meanwhile.
_USING: Final = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_USING.acquire, after_in_parent=_USING.release, after_in_child=_USING.release)


class SharedRateLimit:
    """A rate limit for all processes of this host that use the same file.

    ```python
    client = AsyncClient(rate_limit=SharedRateLimit("/var/lib/app/plivo-quota.db"))
    ```

    Pass it to the clients of web workers, cron jobs and shells alike, or set `PLIVO_RATE_LIMIT` to the file's
    path. Requests of all of them are spaced evenly, and a 429 that one receives pauses all. Requests of
    clients with `priority="bulk"`, as those of provisioning, only get what the others leave. If a process is
    killed, the few places that it had reserved are lost. A file on a network drive does not work.

    While the file cannot be used, because the disk is full for example, each process logs a warning and keeps
    to its share of the limit. The file is opened for each change only, so there is nothing to close, and one
    object may be shared by threads, event loops and forked processes, and pickled.

    Args:
        path: The file, created if it does not exist. It contains account ids and times, and no credentials.
        limit: The limit of all processes together. The default leaves room for requests that are delayed on
            the way, as Plivo counts 300 in 5 seconds when they arrive.
        processes: How many processes share it at most.

    Raises:
        InvalidArgumentError: If the file cannot be created or is not a rate limit, or an argument is invalid.
    """

    def __init__(
        self, path: str | PathLike[str], limit: RateLimit = DEFAULT_SHARED_RATE, *, processes: int = 10
    ) -> None:
        require("path", _kind_problem(path, (str, os.PathLike), "must be a path"))
        require("limit", _kind_problem(limit, RateLimit, "must be a RateLimit"))
        check_count("processes", processes, 1)
        self.path: Path = Path(path).absolute()
        self.limit: RateLimit = limit
        self.processes: int = processes
        self._gap = limit.seconds / limit.requests
        try:
            self._create()  # raise now rather than in the first call
        except (OSError, ValueError, sqlite3.Error, RateLimitStoreError) as error:
            raise InvalidArgumentError("path", f"cannot use {str(self.path)!r}: {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.limit!r}, processes={self.processes})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), processes=self.processes), (self.path, self.limit)

    async def reserve(self, account: str, places: int, *, priority: Priority) -> Reservation:
        """See `RateLimitStore`."""
        return await self._change(
            account, lambda pace, now: pace.reserve(now, places, gap=self._gap, priority=priority)
        )

    async def pause(self, account: str, seconds: float) -> None:
        """See `RateLimitStore`."""
        await self._change(account, lambda pace, now: (pace.pause(now + seconds), None))

    async def _change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        # Without a thread: this takes hardly longer than to wake one, and nothing is synced to the disk.
        deadline = CLOCK.monotonic() + _LONGEST_BUSY
        while True:
            try:
                return self._try_change(account, change)
            except sqlite3.Error as error:
                if not _is_busy(error) or CLOCK.monotonic() > deadline:
                    raise self._failure(error) from None
            except (OSError, RateLimitStoreError) as error:
                raise self._failure(error) from None
            await asyncio.sleep(random.uniform(0, _BUSY_PAUSE))  # noqa: S311 - to avoid the others

    def _try_change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        with self._transaction() as db:
            now = CLOCK.monotonic()
            next_place, paused_until, written = db.execute(_READ, (account,)).fetchone() or (0.0, 0.0, 0.0)
            before = Pace(next_place, paused_until) if written <= now else Pace()  # the host was restarted
            after, result = change(before, now)
            row = (account, after.next_place, after.paused_until, now)
            db.execute("REPLACE INTO paces VALUES (?, ?, ?, ?)", row)
        return result

    def _create(self) -> None:
        if self.path.exists() and not self.path.is_file():
            raise RateLimitStoreError("it is not a file")
        if not self.path.parent.is_dir():
            raise RateLimitStoreError(f"there is no folder {self.path.parent}")
        if not os.access(self.path.parent, os.W_OK):
            raise RateLimitStoreError(f"there is no right to write to the folder {self.path.parent}")
        with self._transaction(timeout=5.0):
            pass

    @contextmanager
    def _transaction(self, timeout: float = 0.0) -> Generator[sqlite3.Connection]:
        """Open the file, which is created if it does not exist, for one change.

        It is not kept open: nothing has to be closed later, and it may be removed or replaced at any time.
        """
        with _USING:
            _check_header(self.path)
            with closing(sqlite3.connect(self.path, timeout=timeout, isolation_level=None)) as db:
                db.execute("PRAGMA journal_mode = TRUNCATE")  # a process may be killed in the middle
                db.execute("PRAGMA synchronous = OFF")  # after a power failure, nothing in it is of interest
                db.execute("BEGIN IMMEDIATE")
                _prepare(db)
                yield db
                db.execute("COMMIT")

    def _failure(self, error: Exception) -> RateLimitStoreError:
        return RateLimitStoreError(f"{self.path}: {error}")


def _check_header(path: Path) -> None:
    """Raise unless the file is missing, empty, or a rate limit that may be changed.

    SQLite is not asked, since it changes some files as soon as it reads them.
    """
    try:
        with path.open("r+b") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        return
    version, application = (int.from_bytes(header[place : place + 4]) for place in (60, 68))
    if header and application != _APPLICATION:
        raise RateLimitStoreError("it is not a rate limit of this program")
    if header and version != _VERSION:
        raise RateLimitStoreError("it is a rate limit of another version of this program")


def _prepare(db: sqlite3.Connection) -> None:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        for statement in _SCHEMA:
            db.execute(statement)


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the other bits say why


def _kind_problem(value: object, kind: type | tuple[type, ...], rule: str) -> str | None:
    return None if isinstance(value, kind) and value else rule

"""A rate limit that the processes of several hosts share through PostgreSQL."""

from __future__ import annotations

import asyncio
import math
import os
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, LiteralString, TypeVar

from attrs import field, frozen

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._config import DEFAULT_SHARED_RATE, RateLimit, Secret, Unpicklable
from plivo_endpoints._errors import RateLimitStoreError
from plivo_endpoints._postgres import explain, is_postgres_url, name_database, read_url
from plivo_endpoints._sansio.pacing import Pace
from plivo_endpoints._threads import native_lock, start_thread
from plivo_endpoints._validation import check_count, plain, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from plivo_endpoints._config import Priority
    from plivo_endpoints._sansio.pacing import Reservation

T = TypeVar("T")

_OURS: Final = "plivo-endpoints: rate limit, version "
_COMMENT: Final = "plivo-endpoints: rate limit, version 1"
# Not `to_regclass` and `obj_description`, which may see a table that was just created without its comment.
_FIND_TABLE: Final = """
    SELECT description FROM pg_class
        LEFT JOIN pg_description ON objoid = pg_class.oid AND classoid = 'pg_class'::regclass AND objsubid = 0
        WHERE relname = 'plivo_paces' AND pg_table_is_visible(pg_class.oid)
"""
# Times are of the database's clock, in seconds; `written` shows that it was set back. Without the lock,
# processes that create the table at the same time would fail in various ways.
_CREATE: Final = f"""
    SELECT pg_advisory_xact_lock(hashtext('plivo_paces'));
    CREATE TABLE plivo_paces (
        account text PRIMARY KEY,
        next_place double precision NOT NULL,
        paused_until double precision NOT NULL,
        written double precision NOT NULL
    );
    COMMENT ON TABLE plivo_paces IS '{_COMMENT}'
"""
# The settings are local to the transaction, since PgBouncer may give the next one another connection. If a
# process is stopped while it has the row locked, the database disconnects it before others give up waiting.
# `WITH` lets the time be read after the row is locked.
_READ: Final = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL synchronous_commit = off;
    SET LOCAL lock_timeout = '800ms';
    SET LOCAL idle_in_transaction_session_timeout = '500ms';
    INSERT INTO plivo_paces
        SELECT %(account)s, 0, 0, 0 WHERE NOT EXISTS (SELECT FROM plivo_paces WHERE account = %(account)s)
        ON CONFLICT DO NOTHING;
    WITH pace AS (
        SELECT next_place, paused_until, written FROM plivo_paces WHERE account = %(account)s FOR UPDATE
    )
    SELECT pace.*, extract(epoch FROM clock_timestamp())::double precision FROM pace
"""
_WRITE: Final = """
    UPDATE plivo_paces SET next_place = %s, paused_until = %s, written = %s WHERE account = %s;
    COMMIT
"""
_LONGEST_ANSWER: Final = 0.9  # seconds; clients wait for a second


class PostgresRateLimit(Unpicklable):
    """A rate limit for all processes, also of several hosts, that use the same PostgreSQL database.

    ```python
    client = AsyncClient(rate_limit=PostgresRateLimit("postgresql://app@db.example.com/app"))
    ```

    Pass it to the clients of web workers, cron jobs and shells alike, or set `PLIVO_RATE_LIMIT` to the URL.
    It does the same as `SharedRateLimit`, which needs no database, for more than one host. Needs the extra
    `postgres`. Only the database's clock matters, not those of the hosts.

    While the database cannot be used, each process logs a warning and keeps to its share of the limit. Each
    process has one connection, made when it is first needed and again when it was lost. There is nothing to
    close, and one object may be shared by threads, event loops and forked processes. As it contains a
    password, it cannot be pickled.

    Args:
        url: The database's URL. What it leaves out is read from libpq's environment variables and
            `~/.pgpass`. The table `plivo_paces`, which contains account ids and times, is created if it does
            not exist.
        limit: The limit of all processes together. The default leaves room for requests that are delayed on
            the way, as Plivo counts 300 in 5 seconds when they arrive.
        processes: How many processes share it at most.

    Attributes:
        database: The database's URL without user and password.

    Raises:
        InvalidArgumentError: If the database cannot be reached or its table cannot be used, psycopg is not
            installed, or an argument is invalid.
    """

    def __init__(self, url: str, limit: RateLimit = DEFAULT_SHARED_RATE, *, processes: int = 10) -> None:
        concealed = Secret(plain(url))
        del url  # this frame is part of a traceback
        require("url", None if is_postgres_url(concealed.reveal()) else "must begin with postgresql://")
        require("limit", _limit_problem(limit))
        check_count("processes", processes, 1)
        self.database: str = name_database(read_url(concealed, argument="url"))
        self.limit: RateLimit = limit
        self.processes: int = processes
        self._gap = limit.seconds / limit.requests
        self._url = concealed
        self._workers: dict[int, _Worker] = {}  # by process id: a forked child needs its own
        weakref.finalize(self, _stop, self._workers)
        problem = _find_problem(concealed)  # raise now rather than in the first call
        require("url", problem and f"cannot use {self.database}: {problem}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database!r}, {self.limit!r}, processes={self.processes})"

    async def reserve(self, account: str, places: int, *, priority: Priority) -> Reservation:
        """See `RateLimitStore`."""
        gap = self._gap
        return await self._change(
            account, lambda pace, now: pace.reserve(now, places, gap=gap, priority=priority)
        )

    async def pause(self, account: str, seconds: float) -> None:
        """See `RateLimitStore`."""
        await self._change(account, lambda pace, now: (pace.pause(now + seconds), None))

    async def _change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        worker = self._usable_worker()
        future: asyncio.Future[tuple[T] | str] = asyncio.get_running_loop().create_future()
        worker.submit(_Job(account, change, future))
        try:
            async with asyncio.timeout(_LONGEST_ANSWER):
                outcome = await future
        except TimeoutError:
            raise self._failure(f"no answer within {_LONGEST_ANSWER} s") from None
        if isinstance(outcome, str):
            raise self._failure(outcome)
        return outcome[0]

    def _usable_worker(self) -> _Worker:
        process = os.getpid()
        worker = self._workers.get(process)
        if worker is None:
            made = _Worker(self._url)
            worker = self._workers.setdefault(process, made)  # another thread may have made one
            if worker is made:
                self._start(worker, process)
        if CLOCK.monotonic() - worker.busy_since > _LONGEST_ANSWER:
            raise self._failure("no answer to an earlier request")  # do not wait as long for each
        return worker

    def _start(self, worker: _Worker, process: int) -> None:
        try:
            start_thread(worker.run)
        except RuntimeError as error:  # out of threads, or Python is shutting down
            del self._workers[process]
            raise self._failure(str(error)) from None

    def _failure(self, problem: str) -> RateLimitStoreError:
        return RateLimitStoreError(f"{self.database}: {problem}")


def _limit_problem(limit: object) -> str | None:
    return None if isinstance(limit, RateLimit) else "must be a RateLimit"


def _find_problem(url: Secret) -> str | None:
    """Return why a database cannot be used, if so; no traceback leads to psycopg's frames."""
    session = _Session(url)
    try:
        session.check()
    except Exception as error:  # noqa: BLE001 - of psycopg, which is an extra
        return explain(error)
    finally:
        session.close()
    return None


def _stop(workers: dict[int, _Worker]) -> None:
    worker = workers.get(os.getpid())
    if worker is not None:
        worker.submit(None)


@frozen(eq=False)
class _Job(Generic[T]):
    """A change of a pace that a task waits for; an outcome that is a string says why it failed."""

    account: str
    change: Callable[[Pace, float], tuple[Pace, T]]
    future: asyncio.Future[tuple[T] | str]
    submitted: float = field(factory=CLOCK.monotonic)

    def finish(self, outcome: tuple[T] | str) -> None:
        """Wake the task, from any thread."""
        with suppress(RuntimeError):  # its loop is closed
            self.future.get_loop().call_soon_threadsafe(self._resolve, outcome)

    def _resolve(self, outcome: tuple[T] | str) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


class _Worker:
    """Changes paces in a thread of its own, for all loops of a process: psycopg blocks, and a loop must not.

    A daemon thread that nobody waits for, so a database that hangs cannot keep a program from ending.
    """

    def __init__(self, url: Secret) -> None:
        self.busy_since: float = math.inf
        self._session = _Session(url)
        self._jobs: deque[_Job[Any] | None] = deque()
        self._wake = native_lock()

    def submit(self, job: _Job[Any] | None) -> None:
        """Let the thread do a job, or end after those before it."""
        self._jobs.append(job)
        with suppress(RuntimeError):  # it is already awake
            self._wake.release()

    def run(self) -> None:
        """Do jobs until one is `None`."""
        while self._do_next():
            pass
        self._session.close()

    def _do_next(self) -> bool:
        # A method, so that the thread does not hold the last job, and by its loop much else, while it waits.
        while not self._jobs:
            self._wake.acquire()
        job = self._jobs.popleft()
        if job is not None and not job.future.done():
            self._do(job)
        return job is not None

    def _do(self, job: _Job[T]) -> None:
        # Not from now on, or the task that is next after one that gave up might wait as long.
        self.busy_since = job.submitted
        outcome: tuple[T] | str
        try:
            outcome = (self._session.change(job.account, job.change),)
        except Exception as error:  # noqa: BLE001 - of psycopg, which is an extra
            outcome = explain(error)
            self._session.close()
        self.busy_since = math.inf
        job.finish(outcome)


class _Session:
    """A connection, which is made when it is needed."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._connection: Connection[tuple[Any, ...]] | None = None

    def check(self) -> None:
        """Create the table if it does not exist; raise unless a pace can be changed."""
        self._read("")
        self._execute("ROLLBACK")

    def change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        """Change a pace; the connection cannot be used after an error."""
        kept = self._connection
        try:
            return self._try_change(account, change)
        except Exception:
            if kept is None or not kept.broken:
                raise
        self.close()  # it was lost, perhaps long ago
        return self._try_change(account, change)

    def _try_change(self, account: str, change: Callable[[Pace, float], tuple[Pace, T]]) -> T:
        before, now = self._read(account)
        after, result = change(before, now)
        self._execute(_WRITE, (after.next_place, after.paused_until, now, account))
        return result

    def _read(self, account: str) -> tuple[Pace, float]:
        """Begin a transaction, and return the pace, which is locked, and the time."""
        next_place, paused_until, written, now = self._execute(_READ, {"account": account})
        # If not, the clock was set back.
        return Pace(next_place, paused_until) if written <= now else Pace(), now

    def _execute(self, statements: LiteralString, values: Any = None) -> tuple[Any, ...]:  # noqa: ANN401
        """Execute statements in one round trip, and return the row of the last, if it has one."""
        if self._connection is None:
            self._connection = _connect(self._url)
        cursor = self._connection.execute(statements, values)
        while cursor.nextset():
            pass
        return (cursor.fetchone() or ()) if cursor.description else ()

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connect(url: Secret) -> Connection[tuple[Any, ...]]:
    from psycopg import ClientCursor, connect  # noqa: PLC0415 - an extra

    # A ClientCursor sends several statements at once, and prepares none, which PgBouncer might not support.
    connection = connect(**read_url(url, argument="url"), autocommit=True, cursor_factory=ClientCursor)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection[tuple[Any, ...]]) -> None:
    """Create the table if it does not exist; raise if another one has its name."""
    from psycopg.errors import DuplicateTable  # noqa: PLC0415 - an extra

    if not _has_table(connection):
        try:
            connection.execute(_CREATE)
        except DuplicateTable:  # another process has created it meanwhile
            _has_table(connection)


def _has_table(connection: Connection[tuple[Any, ...]]) -> bool:
    found = connection.execute(_FIND_TABLE).fetchone()
    if found is None or found == (_COMMENT,):
        return found is not None
    (comment,) = found
    if comment and comment.startswith(_OURS):
        raise RateLimitStoreError("its table plivo_paces is a rate limit of another version of this program")
    raise RateLimitStoreError("its table plivo_paces is not a rate limit of this program")

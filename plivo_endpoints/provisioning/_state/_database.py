"""A connection to PostgreSQL that carries out requests in order and outlives restarts of the server.

Requests that wait at the same time share a transaction. If the connection is lost, they are carried out again
on a new one: the transaction may have been committed or not, so every request must be repeatable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from attrs import frozen

from plivo_endpoints._events import logger
from plivo_endpoints._postgres import explain, name_database, read_url
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._postgres_tables import fetch_one
from plivo_endpoints.provisioning._state._protocol import ClaimLostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from plivo_endpoints._config import Secret

T = TypeVar("T")

Work = Callable[["AsyncConnection[Any]"], Awaitable[T]]

_LARGEST_GROUP: Final = 256  # requests in a transaction
_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to connect; the last one repeats
_SETTINGS: Final = (
    "SET default_transaction_isolation = 'read committed'",
    # A process that is stopped within a transaction, or whose host vanishes, must not keep its locks.
    "SET idle_in_transaction_session_timeout = '5s'",
)
_PATIENCE: Final = 600.0  # seconds after which a lost database ends the run
_CLOSING_PATIENCE: Final = 10.0


@frozen
class _Request(Generic[T]):
    work: Work[T]
    answer: asyncio.Future[T]


class Database:
    """Carries out requests in order; a request is answered once its transaction is durable.

    After a failure other than a lost connection every request fails, as after one of an SQLite state.
    """

    def __init__(self, url: Secret, *, read_only: bool = False) -> None:
        self._url = url
        self.name: str = name_database(read_url(url, argument="state"))
        self._read_only = read_only
        self._connection: AsyncConnection[Any] | None = None
        self._pending: list[_Request[Any]] = []
        self._has_pending = asyncio.Event()
        self._failure: StateError | None = None
        self._server: asyncio.Task[None] | None = None
        self._closing_since: float | None = None

    async def open(self) -> None:
        """Connect; raise `StateError` if that is impossible now."""
        problem = None
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001 - whatever it is, the database cannot be used
            problem = explain(error)
        if problem is not None:  # raised here, as the frames of psycopg's error hold the password
            await self._disconnect()
            raise StateError(f"cannot use {self.name}: {problem}")
        self._server = asyncio.create_task(self._serve())

    def run(self, work: Work[T]) -> asyncio.Future[T]:
        """Carry out `work` in a transaction, perhaps several times; the future is done once it is durable."""
        if self._closing_since is not None:
            raise StateError("the state is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_Request(work, answer))
        self._has_pending.set()
        return answer

    async def close(self) -> None:
        """Finish all requests and disconnect."""
        self._closing_since = time.monotonic()
        self._has_pending.set()
        try:
            if self._server is not None:  # not awaited itself: a cancellation must not reach it
                _, late = await asyncio.wait({self._server}, timeout=2 * _CLOSING_PATIENCE)
                if late:  # the database hangs
                    self._server.cancel()
                    await asyncio.wait({self._server}, timeout=_CLOSING_PATIENCE)
        finally:
            await self._disconnect()

    async def _serve(self) -> None:
        while True:
            while not self._pending:
                if self._closing_since is not None:
                    return
                self._has_pending.clear()
                await self._has_pending.wait()
            group, self._pending = self._pending[:_LARGEST_GROUP], self._pending[_LARGEST_GROUP:]
            _resolve(group, await self._carry_out([request.work for request in group]))

    async def _carry_out(self, group: Sequence[Work[Any]]) -> Sequence[Any]:
        """Return the result of each work, or the error to raise."""
        if self._failure is None:
            try:
                return await self._try_until_back(group)
            except StateError as error:
                self._failure = error
        # A shared exception object would collect the tracebacks of all waiting tasks.
        return [type(self._failure)(*self._failure.args) for _ in group]

    async def _try_until_back(self, group: Sequence[Work[Any]]) -> Sequence[Any]:
        lost_since, attempt = None, 0
        while True:
            try:
                results = await self._try(group)
            except StateError:
                raise
            except Exception as error:  # noqa: BLE001 - waiting requests must be answered in any case
                problem, may_repeat = explain(error), self._may_repeat(error)
            else:
                if attempt > 1:
                    logger.warning("%s can be used again", self.name)
                return results
            now = time.monotonic()
            lost_since = now if lost_since is None else lost_since
            if not may_repeat or now - lost_since >= self._patience():
                raise StateError(f"{self.name} failed: {problem}")
            if attempt == 1:  # a lost connection alone is not worth a warning
                text = "%s cannot be used (%s): nothing is sent until it can, for up to %g s"
                logger.warning(text, self.name, problem, self._patience())
            await self._disconnect()
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1

    def _patience(self) -> float:
        return _PATIENCE if self._closing_since is None else _CLOSING_PATIENCE

    def _may_repeat(self, error: Exception) -> bool:
        from psycopg import OperationalError  # noqa: PLC0415 - an extra
        from psycopg.errors import DeadlockDetected  # noqa: PLC0415

        is_lost = self._connection is None or self._connection.closed
        # Without a code, the error is not the server's but libpq's, such as when a pipeline is cut.
        is_lost = is_lost or (isinstance(error, OperationalError) and error.sqlstate is None)
        return is_lost or isinstance(error, DeadlockDetected)

    async def _try(self, group: Sequence[Work[Any]]) -> Sequence[Any]:
        if self._connection is None or self._connection.closed:
            await self._connect()
        connection = self._connection
        if connection is None:
            raise AssertionError("connecting neither failed nor succeeded")
        async with connection.transaction():
            return [await _attempt(work, connection) for work in group]

    async def _connect(self) -> None:
        from psycopg import AsyncConnection  # noqa: PLC0415 - an extra

        await self._disconnect()
        parameters = read_url(self._url, argument="state")
        self._connection = await AsyncConnection.connect(**parameters, autocommit=True)
        for setting in _SETTINGS:
            await self._connection.execute(setting)
        if self._read_only:
            await self._connection.execute("SET default_transaction_read_only = on")
        elif await fetch_one(self._connection, "SHOW synchronous_commit") == "off":  # others are stricter
            await self._connection.execute("SET synchronous_commit = on")

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _attempt(work: Work[T], connection: AsyncConnection[Any]) -> T | ClaimLostError:
    try:
        return await work(connection)
    except ClaimLostError as error:  # nothing was changed, and the other requests are not concerned
        return error


def _resolve(group: Sequence[_Request[Any]], results: Sequence[Any]) -> None:
    for request, result in zip(group, results, strict=True):
        if request.answer.done():  # the waiting task may have been cancelled
            continue
        if isinstance(result, Exception):
            request.answer.set_exception(result)
        else:
            request.answer.set_result(result)

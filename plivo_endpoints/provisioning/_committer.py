"""A thread that owns an SQLite connection and commits in groups, so that the loop never waits on a disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from plivo_endpoints.provisioning._errors import JournalError

T = TypeVar("T")
E = TypeVar("E")

Work = Callable[[sqlite3.Connection], T]

_LARGEST_GROUP: Final = 256


@frozen
class _Order(Generic[T]):
    work: Work[T]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[T]

    def succeed(self, result: T) -> None:
        self._settle(self.answer.set_result, result)

    def fail(self, error: JournalError) -> None:
        self._settle(self.answer.set_exception, error)

    def _settle(self, setter: Callable[[E], None], value: E) -> None:
        def settle() -> None:
            if not self.answer.done():  # whoever asked may have been cancelled
                setter(value)

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(settle)


class Committer:
    """Carries out orders in the order they come, those that wait at the same time in one transaction.

    An order is answered after the transaction is durable. After the first failure every order fails: a
    journal that has lost something must not be believed again.
    """

    def __init__(
        self, connect: Callable[[], AbstractContextManager[sqlite3.Connection]], *, name: str
    ) -> None:
        self._connect = connect
        self._orders: SimpleQueue[_Order[Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=f"journal {name}", daemon=True)
        self._failure: JournalError | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start the thread; that it cannot connect is raised by the first order."""
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Carry out `work` in the thread; return its result once all it wrote is durable."""
        if self._is_stopped:  # nobody would ever answer
            raise JournalError("the journal is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._orders.put(_Order(work, loop, answer))
        return await answer

    async def stop(self) -> None:
        """Finish what was ordered, close the connection and end the thread."""
        self._is_stopped = True
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        with ExitStack() as stack:
            connection: sqlite3.Connection | None = None
            try:
                connection = stack.enter_context(self._connect())
            except JournalError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits has to be answered
                self._failure = JournalError(f"the journal cannot be opened: {error}")
            serving = True
            while serving:
                group, serving = self._next_group()
                if group:
                    self._answer(connection, group)

    def _next_group(self) -> tuple[list[_Order[Any]], bool]:
        """Return the orders that wait, at least one unless it is the end, and whether more may come."""
        group = [self._orders.get()]
        with suppress(Empty):
            while group[-1] is not None and len(group) < _LARGEST_GROUP:
                group.append(self._orders.get_nowait())
        return [order for order in group if order is not None], group[-1] is not None

    def _answer(self, connection: sqlite3.Connection | None, group: list[_Order[Any]]) -> None:
        results: list[Any] = []
        if connection is not None and self._failure is None:
            try:
                connection.execute("BEGIN")
                results = [order.work(connection) for order in group]
                connection.execute("COMMIT")
            except JournalError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this group is durable
                self._failure = JournalError(f"the journal failed: {error}")
        if self._failure is None:
            for order, result in zip(group, results, strict=True):
                order.succeed(result)
            return
        _roll_back(connection)
        for order in group:
            # One exception object would gather the tracebacks of all who wait.
            order.fail(JournalError(*self._failure.args))


def _roll_back(connection: sqlite3.Connection | None) -> None:
    if connection is not None and connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

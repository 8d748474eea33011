"""A thread that owns an SQLite connection and commits in groups, so that the loop never waits on a disk.

To wake a thread, to wake a loop and to sync a disk are what a state costs. So orders go over together, at
least those of one turn of the loop; those that meet in the thread share a transaction and come back together.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from plivo_endpoints.provisioning._errors import StateError

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]

_LARGEST_GROUP: Final = 256  # from here on nothing more is added to a transaction
_COMMIT_DELAY: Final = 0.002  # seconds; at Plivo's quota a row takes 17 ms


@frozen
class _WriteRequest(Generic[T]):
    work: Work[T]
    answer: asyncio.Future[T]


class Committer:
    """Carries out orders in the order they come, those that wait at the same time in one transaction.

    An order is answered after the transaction is durable. After the first failure every order fails: a
    state that has lost something must not be believed again.
    """

    def __init__(
        self, connect: Callable[[], AbstractContextManager[sqlite3.Connection]], *, name: str
    ) -> None:
        self._connect = connect
        self._name = name
        self._given: list[_WriteRequest[Any]] = []  # not handed over yet
        self._departure: asyncio.TimerHandle | None = None  # when they will be
        self._orders: SimpleQueue[list[_WriteRequest[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=f"state {name}", daemon=True)
        self._failure: StateError | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start the thread, for the running loop; that it cannot connect is raised by the first order."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def run(self, work: Work[T], *, delayed: bool = False) -> asyncio.Future[T]:
        """Have `work` carried out in the thread; what is returned is done once all it wrote is durable.

        With `delayed` it waits a moment for others to share the costs: for what many tasks order one by one.
        """
        if self._is_stopped:  # nobody would ever answer
            raise StateError("the state is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._given.append(_WriteRequest(work, answer))
        self._depart(self._loop.time() + (_COMMIT_DELAY if delayed else 0.0))
        return answer

    def _depart(self, when: float) -> None:
        if self._departure is not None:
            if self._departure.when() <= when:
                return
            self._departure.cancel()
        self._departure = self._loop.call_at(when, self._hand_over)

    def _hand_over(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        given, self._given = self._given, []
        self._orders.put(given)

    async def stop(self) -> None:
        """Finish what was ordered, close the connection and end the thread."""
        self._is_stopped = True
        self._hand_over()
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        with ExitStack() as stack:
            connection: sqlite3.Connection | None = None
            try:
                connection = stack.enter_context(self._connect())
            except StateError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits has to be answered
                self._failure = StateError(f"the state {self._name} cannot be opened: {error}")
            serving = True
            while serving:
                group, serving = self._next_group()
                if group:
                    self._answer(connection, group)

    def _next_group(self) -> tuple[list[_WriteRequest[Any]], bool]:
        """Return the orders that wait, and whether more may come; waits for some unless it is the end."""
        group: list[_WriteRequest[Any]] = []
        given = self._orders.get()
        with suppress(Empty):
            while given is not None:
                group += given
                if len(group) >= _LARGEST_GROUP:
                    break
                given = self._orders.get_nowait()
        return group, given is not None

    def _answer(self, connection: sqlite3.Connection | None, group: list[_WriteRequest[Any]]) -> None:
        results: list[Any] = []
        if connection is not None and self._failure is None:
            try:
                connection.execute("BEGIN")
                results = [order.work(connection) for order in group]
                connection.execute("COMMIT")
            except StateError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this group is durable
                self._failure = StateError(f"the state {self._name} failed: {error}")
        if self._failure is not None:
            _roll_back(connection)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, group, results, self._failure)


def _settle(group: list[_WriteRequest[Any]], results: list[Any], failure: StateError | None) -> None:
    waiting = [order.answer for order in group]
    if failure is None:
        for answer, result in zip(waiting, results, strict=True):
            if not answer.done():  # whoever asked may have been cancelled
                answer.set_result(result)
        return
    for answer in waiting:
        if not answer.done():
            # One exception object would gather the tracebacks of all who wait.
            answer.set_exception(StateError(*failure.args))


def _roll_back(connection: sqlite3.Connection | None) -> None:
    if connection is not None and connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

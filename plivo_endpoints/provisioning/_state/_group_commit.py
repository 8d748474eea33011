"""A thread that owns an SQLite connection and commits in groups, so that the loop never waits for a disk.

The costs of a state are waking a thread, waking the loop and syncing the disk. So requests are handed over
together, at least those of one iteration of the loop. Requests that wait in the thread at the same time share
a transaction and are answered together.
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
_COMMIT_DELAY: Final = 0.005  # seconds; little, as a row takes 17 ms at Plivo's quota


@frozen
class _WriteRequest(Generic[T]):
    work: Work[T]
    answer: asyncio.Future[T]


class Committer:
    """Carries out requests in order; those that wait at the same time share a transaction.

    A request is answered once its transaction is durable. After the first failure every request fails: a
    state that has lost something must not be trusted again.
    """

    def __init__(
        self, connect: Callable[[], AbstractContextManager[sqlite3.Connection]], *, name: str
    ) -> None:
        self._connect = connect
        self._name = name
        self._pending: list[_WriteRequest[Any]] = []  # not handed over to the thread yet
        self._handover: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[_WriteRequest[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=f"state {name}", daemon=True)
        self._failure: StateError | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start the thread for the running loop; a failure to connect is raised by the first request."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def run(self, work: Work[T], *, delayed: bool = False) -> asyncio.Future[T]:
        """Carry out `work` in the thread; the future is done once everything it wrote is durable.

        With `delayed`, wait a moment so that the single writes of many tasks share the costs.
        """
        if self._is_stopped:  # the future would never be done
            raise StateError("the state is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._pending.append(_WriteRequest(work, answer))
        self._schedule_handover(self._loop.time() + (_COMMIT_DELAY if delayed else 0.0))
        return answer

    def _schedule_handover(self, when: float) -> None:
        if self._handover is not None:
            if self._handover.when() <= when:
                return
            self._handover.cancel()
        self._handover = self._loop.call_at(when, self._hand_over)

    def _hand_over(self) -> None:
        if self._handover is not None:
            self._handover.cancel()
            self._handover = None
        pending, self._pending = self._pending, []
        self._queue.put(pending)

    async def stop(self) -> None:
        """Finish all requests, close the connection and end the thread."""
        self._is_stopped = True
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        with ExitStack() as stack:
            connection: sqlite3.Connection | None = None
            try:
                connection = stack.enter_context(self._connect())
            except StateError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - waiting requests must be answered in any case
                self._failure = StateError(f"the state {self._name} cannot be opened: {error}")
            serving = True
            while serving:
                group, serving = self._next_group()
                if group:
                    self._answer(connection, group)

    def _next_group(self) -> tuple[list[_WriteRequest[Any]], bool]:
        """Wait for requests; return them, and whether more may follow."""
        group: list[_WriteRequest[Any]] = []
        requests = self._queue.get()
        with suppress(Empty):
            while requests is not None:
                group += requests
                if len(group) >= _LARGEST_GROUP:
                    break
                requests = self._queue.get_nowait()
        return group, requests is not None

    def _answer(self, connection: sqlite3.Connection | None, group: list[_WriteRequest[Any]]) -> None:
        results: list[Any] = []
        if connection is not None and self._failure is None:
            try:
                connection.execute("BEGIN")
                results = [request.work(connection) for request in group]
                connection.execute("COMMIT")
            except StateError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - after any error nothing of this group is durable
                self._failure = StateError(f"the state {self._name} failed: {error}")
        if self._failure is not None:
            _roll_back(connection)
        with suppress(RuntimeError):  # the loop is closed, so nobody is waiting any more
            self._loop.call_soon_threadsafe(_resolve, group, results, self._failure)


def _resolve(group: list[_WriteRequest[Any]], results: list[Any], failure: StateError | None) -> None:
    waiting = [request.answer for request in group]
    if failure is None:
        for answer, result in zip(waiting, results, strict=True):
            if not answer.done():  # the waiting task may have been cancelled
                answer.set_result(result)
        return
    for answer in waiting:
        if not answer.done():
            # A shared exception object would collect the tracebacks of all waiting tasks.
            answer.set_exception(StateError(*failure.args))


def _roll_back(connection: sqlite3.Connection | None) -> None:
    if connection is not None and connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

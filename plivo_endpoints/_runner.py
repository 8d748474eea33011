"""Runs the async client's coroutines for the blocking client, on an event loop in a background thread.

The first call starts the thread, in which anyio runs the loop. The thread ends on `close`, on garbage
collection or at the end of the program, whichever comes first. A call is handed to the loop, and the calling
thread waits. If the wait is interrupted, usually by Ctrl-C, the coroutine is cancelled and awaited before the
exception propagates. So no request is sent after the program believes that it stopped, and the exception
carries the outcome. The blocking client has no logic of its own: it keeps all promises of the async client,
because it runs the same code.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from plivo_endpoints._errors import NO_FORK, ClientStateError
from plivo_endpoints._threads import closed_lock, start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

R = TypeVar("R")

_SIGNALS: Final = 10  # that may follow the first before a call has ended; one more ends the wait


class Runner:
    """Runs coroutines on the loop of its thread, for any number of calling threads."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        self._loop_factory = loop_factory
        self._threads: dict[int, _LoopThread] = {}  # at most one, by the id of its process
        self._finalizer = weakref.finalize(self, _stop, self._threads)

    def run(self, start: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Call `start` on the loop, await the coroutine and return its result.

        There are no arguments to pass on: a traceback would show them, including passwords, in this frame.
        """
        return _Call(start, self._usable_thread()).run()

    def close(self) -> None:
        """Stop the thread; later calls raise `ClientStateError`."""
        self._finalizer()

    def _usable_thread(self) -> _LoopThread:
        if not self._finalizer.alive:
            raise ClientStateError("the client is closed")
        thread = self._threads.get(os.getpid()) or self._start()
        if threading.get_ident() == thread.ident:
            raise ClientStateError("a blocking client cannot be called from its own loop's thread")
        return thread

    def _start(self) -> _LoopThread:
        if self._threads.keys() - {os.getpid()}:  # one from before a fork
            raise ClientStateError(NO_FORK)
        try:
            _LoopThread(self._loop_factory, self._threads, self._finalizer)
        except Exception as error:  # out of descriptors or threads, or the loop factory fails
            raise ClientStateError(f"the client's event loop cannot start: {error}") from error
        return self._threads[os.getpid()]


def _stop(threads: dict[int, _LoopThread]) -> None:
    thread = threads.get(os.getpid())  # none after a fork: it is the parent's
    if thread is not None:
        thread.stop()


class _LoopThread:
    """A thread that runs an event loop until it is stopped.

    It adds itself to its client's `threads`, so that it is known even if a signal handler interrupts the wait
    for its start. It stops at once if there is a thread already or if the client has been closed.
    """

    def __init__(
        self,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        threads: dict[int, _LoopThread],
        finalizer: weakref.finalize[..., Any],
    ) -> None:
        self.calls: set[_Call[Any]] = set()  # that have not ended
        self._threads = threads
        self._finalizer = finalizer
        self._failure: BaseException | None = None
        self._starting = closed_lock()
        self._running = closed_lock()
        # `anyio.run` needs it. Imported here: threads that import it at once can deadlock under gevent.
        import_module("anyio._backends._asyncio")
        start_thread(lambda: self._run(loop_factory))
        self._starting.acquire()
        if self._failure is not None:
            raise self._failure

    def submit(self, call: _Call[Any], action: Callable[[], None]) -> None:
        """Schedule an action for a call on the loop; end the call if the loop is closed."""
        self.calls.add(call)
        if not self._schedule(action):
            call.end()

    def stop(self) -> None:
        """Stop the loop, its calls and the thread; called once, by the finalizer."""
        self._schedule(self.stopping.set)
        if threading.get_ident() != self.ident:  # a thread cannot wait for itself
            self._running.acquire()

    def _schedule(self, action: Callable[[], None]) -> bool:
        try:
            self.loop.call_soon_threadsafe(action)
        except RuntimeError:
            if not self.loop.is_closed():
                raise  # raised by a signal handler
            return False
        return True

    def _run(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self.ident = threading.get_ident()
        try:
            import anyio  # noqa: PLC0415 - the async client does not need it

            anyio.run(self._serve, backend_options={"loop_factory": loop_factory})
        except BaseException as error:  # noqa: BLE001 - Python 3.12 lets a loop start no thread at exit
            self._failure = error
        self._running.release()
        for call in self.calls.copy():  # calls submitted after the loop had stopped
            call.end()
        with suppress(RuntimeError):  # already released: the loop had started
            self._starting.release()

    async def _serve(self) -> None:
        # Checked in this thread: in the main one, a signal could make Python 3.11 mark it as dead for good.
        if not threading.main_thread().is_alive():
            raise RuntimeError("the interpreter is shutting down")
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        # No lock: a signal handler could deadlock on it, and a fork could leave it locked.
        if self._threads.setdefault(os.getpid(), self) is not self or not self._finalizer.alive:
            self.stopping.set()
        self._starting.release()
        await self.stopping.wait()


class _Call(Generic[R]):
    """A call that runs in a task on the loop while a thread waits for it."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, R]], thread: _LoopThread) -> None:
        self._start = start
        self._thread = thread
        self._task: asyncio.Task[None] | None = None
        self._result: tuple[R] | None = None
        self._error: BaseException | None = None
        self._interrupt: BaseException | None = None  # the last one; earlier ones are its context
        self._under_way = closed_lock()

    def run(self) -> R:
        """Run the call and return its result."""
        try:
            self._wait_for_end(_SIGNALS)
            # No function calls from here on: a signal could interrupt one, and the result would be lost.
            if self._interrupt is not None:
                raise self._interrupt
            if self._error is not None:
                raise self._error
            if self._result is not None:
                return self._result[0]
            raise ClientStateError("the client was closed during the call")
        finally:
            self._error = self._interrupt = None  # their tracebacks refer to this call: avoid a cycle

    def _wait_for_end(self, signals: int) -> None:
        # A signal can arrive while the one before it is handled. Then the enclosing frame handles both.
        try:
            if signals:
                self._wait_for_end(signals - 1)
            else:
                self._thread.submit(self, self._begin)
                self._under_way.acquire()
        except BaseException as interrupt:  # noqa: BLE001 - from a signal handler, at any of these lines
            if self in self._thread.calls:
                self._thread.submit(self, self._cancel)
                self._under_way.acquire()
            if self._error is not None:
                interrupt.__cause__ = self._error
            elif self._result is not None:
                interrupt.add_note(f"The call had already returned {self._result[0]!r}")
            self._interrupt = interrupt

    def _begin(self) -> None:
        if self._thread.stopping.is_set():
            self.end()
        else:
            self._task = self._thread.loop.create_task(self._work())
            self._task.add_done_callback(self.end)

    async def _work(self) -> None:
        try:
            self._result = (await self._start(),)
        except asyncio.CancelledError as cancelled:  # not kept: its frames hold the call's arguments
            self._error = cancelled.__cause__
        except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
            self._error = error

    def _cancel(self) -> None:
        if self._task is None:
            self.end()
        else:
            self._task.cancel()

    def end(self, _: object = None) -> None:
        """Wake the waiting thread: the task has ended or will never start."""
        # In the loop's thread: in the waiting one, a signal could arrive at each of these lines and be lost.
        self._task = None
        self._thread.calls.discard(self)
        with suppress(RuntimeError):  # already released
            self._under_way.release()

"""The blocking client's engine: the same coroutines, run on an event loop in a thread of its own.

anyio runs the loop in a thread that the first call starts, and that `close`, the garbage collector or the end
of the program ends, whichever comes first. A call takes one hop to the loop and waits. If the wait is
interrupted, by Ctrl-C above all, the coroutine is cancelled and seen to end before the exception goes on: no
request leaves after the program believes that it stopped, and the exception carries what came of it. So the
facade has no logic of its own, and everything that the async client promises holds here: it is the same code.
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

_SIGNALS: Final = 10  # that may follow the first before a call has ended; one more ends the wait for it


class Runner:
    """Runs coroutines on the loop of its thread, for any number of calling threads."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        self._loop_factory = loop_factory
        self._threads: dict[int, _LoopThread] = {}  # one, by the process that made it
        self._finalizer = weakref.finalize(self, _stop, self._threads)

    def run(self, start: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Return the result of what `start` returns, called and awaited on the loop.

        It takes no arguments to pass on: its frame would show them in a traceback, passwords among them.
        """
        return _Call(start, self._usable_thread()).run()

    def close(self) -> None:
        """End the thread; no call works afterwards."""
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
        except Exception as error:  # no descriptors or threads left, or a loop factory that fails
            raise ClientStateError(f"the client's event loop cannot start: {error}") from error
        return self._threads[os.getpid()]


def _stop(threads: dict[int, _LoopThread]) -> None:
    thread = threads.get(os.getpid())  # after a fork there is none: it is the parent's
    if thread is not None:
        thread.stop()


class _LoopThread:
    """A thread with an event loop that runs until it is stopped.

    It enters itself among its client's `threads`, so that it is known even where a signal's handler ends the
    wait for it, and ends at once where there is one already, or where the client was closed meanwhile.
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
        # What `anyio.run` needs, imported here: threads importing the same can block each other under gevent.
        import_module("anyio._backends._asyncio")
        start_thread(lambda: self._run(loop_factory))
        self._starting.acquire()
        if self._failure is not None:
            raise self._failure

    def submit(self, call: _Call[Any], action: Callable[[], None]) -> None:
        """Have the loop do something for a call; one that it can do nothing for any more has ended."""
        self.calls.add(call)
        if not self._takes(action):
            call.end()

    def stop(self) -> None:
        """End the loop, what it carries out, and the thread: once, as a finalizer does."""
        self._takes(self.stopping.set)
        if threading.get_ident() != self.ident:  # which cannot wait for itself
            self._running.acquire()

    def _takes(self, action: Callable[[], None]) -> bool:
        try:
            self.loop.call_soon_threadsafe(action)
        except RuntimeError:
            if not self.loop.is_closed():
                raise  # out of a signal's handler
            return False
        return True

    def _run(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self.ident = threading.get_ident()
        try:
            import anyio  # noqa: PLC0415 - the async client does without

            anyio.run(self._serve, backend_options={"loop_factory": loop_factory})
        except BaseException as error:  # noqa: BLE001 - at exit Python 3.12 refuses the loop its last thread
            self._failure = error
        self._running.release()
        for call in self.calls.copy():  # what was submitted after the loop had stopped
            call.end()
        with suppress(RuntimeError):  # it had started
            self._starting.release()

    async def _serve(self) -> None:
        # Asked in a thread of ours: in the main one a signal could make Python 3.11 declare it dead for good.
        if not threading.main_thread().is_alive():
            raise RuntimeError("the interpreter is shutting down")
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        # Without a lock: a signal's handler could not enter it again, and a fork could leave it locked.
        if self._threads.setdefault(os.getpid(), self) is not self or not self._finalizer.alive:
            self.stopping.set()
        self._starting.release()
        await self.stopping.wait()


class _Call(Generic[R]):
    """A call that a task on the loop carries out and a thread waits for."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, R]], thread: _LoopThread) -> None:
        self._start = start
        self._thread = thread
        self._task: asyncio.Task[None] | None = None
        self._result: tuple[R] | None = None
        self._error: BaseException | None = None
        self._interrupt: BaseException | None = None  # the last; its context has those before
        self._under_way = closed_lock()

    def run(self) -> R:
        """Have it carried out, and return its result."""
        try:
            self._see_to_its_end(_SIGNALS)
            # From here on nothing is called: with a call a signal could come that does not tell the result.
            if self._interrupt is not None:
                raise self._interrupt
            if self._error is not None:
                raise self._error
            if self._result is not None:
                return self._result[0]
            raise ClientStateError("the client was closed during the call")
        finally:
            self._error = self._interrupt = None  # their tracebacks hold this call: do not make a cycle

    def _see_to_its_end(self, more: int) -> None:
        # A signal can come just as the one before it is dealt with. Then the next frame deals with both.
        try:
            if more:
                self._see_to_its_end(more - 1)
            else:
                self._thread.submit(self, self._begin)
                self._under_way.acquire()
        except BaseException as interrupt:  # noqa: BLE001 - out of a signal's handler, so at any of these lines
            if self in self._thread.calls:
                self._thread.submit(self, self._cancel)
                self._under_way.acquire()
            if self._error is not None:
                interrupt.__cause__ = self._error
            elif self._result is not None:
                interrupt.add_note(f"The call had just ended, with {self._result[0]!r}")
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
        except asyncio.CancelledError as cancelled:  # whose frames hold what the call holds
            self._error = cancelled.__cause__
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            self._error = error

    def _cancel(self) -> None:
        if self._task is None:
            self.end()
        else:
            self._task.cancel()

    def end(self, _: object = None) -> None:
        """Let the waiting thread go on: the task has ended, or will never begin."""
        # Here, on the loop's thread: in the one that waits a signal could come at each of these and be lost.
        self._task = None
        self._thread.calls.discard(self)
        with suppress(RuntimeError):  # let go before
            self._under_way.release()

"""The synchronous client's engine: the same coroutines, run on a loop in a thread of their own.

A portal (anyio's) keeps one event loop alive in a thread, started by the first call and ended by `close`, by
the garbage collector or at interpreter exit, whichever comes first. A call hands its coroutine over and waits
for the result. If the wait is interrupted, by Ctrl-C above all, the coroutine is cancelled and seen to end
before the exception goes on: no request leaves after the program believes that it stopped. So the facade has
no logic of its own, and everything that the async client promises holds here because it is the same code.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from concurrent.futures import Future
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from plivo_endpoints._errors import ClientStateError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.from_thread import BlockingPortal

R = TypeVar("R")

_PATIENCE: Final = 5.0  # seconds for a cancelled call to end, whatever signals come


class Runner:
    """Runs coroutines on the loop of a portal's thread, for any number of calling threads."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        # Entered again where a signal's handler or the garbage collector comes in between, with a client's
        # `close` or the end of a walk that was left half done.
        self._starting = threading.RLock()
        self._thread: _LoopThread | None = None
        self._closed = False
        self._finalizer: weakref.finalize[[_LoopThread], Runner] | None = None

    def run(self, start: Callable[[], Awaitable[R]]) -> R:
        """Return the result of what `start` returns, called and awaited on the loop.

        It takes no arguments to pass on: its frame would show them in a traceback, passwords among them.
        """
        return _Call(start, self._usable_thread()).run()

    def _usable_thread(self) -> _LoopThread:
        if os.getpid() != self._pid:
            raise ClientStateError("a client does not survive fork: make one in the child process")
        with self._starting:
            # A walk left half done ends after the finalizer ran at interpreter exit.
            if self._closed or (self._finalizer is not None and not self._finalizer.alive):
                raise ClientStateError("the client is closed")
            thread = self._thread or self._start()
        if threading.get_ident() == thread.ident:
            raise ClientStateError("a blocking client cannot be called from its own loop's thread")
        return thread

    def _start(self) -> _LoopThread:
        self._thread = thread = _LoopThread()
        # Runs at interpreter exit too, and until then keeps nothing alive.
        self._finalizer = weakref.finalize(self, _LoopThread.stop, thread)
        if self._closed:  # meanwhile
            self._finalizer()
            raise ClientStateError("the client is closed")
        return thread

    def close(self) -> None:
        """End the thread; no call works afterwards."""
        if os.getpid() != self._pid:
            return  # nothing of it is here, and a lock held at the fork stays so for ever
        with self._starting:
            self._closed = True
        if self._finalizer is not None:
            self._finalizer()


class _LoopThread:
    """A thread with an event loop that a portal keeps alive."""

    def __init__(self) -> None:
        ready: Future[tuple[BlockingPortal, asyncio.AbstractEventLoop]] = Future()
        self.calls: set[_Call[Any]] = set()
        self.is_stopping = self.has_ended = False
        self._thread = threading.Thread(target=self._run, args=(ready,), name="plivo-endpoints", daemon=True)
        self._thread.start()
        self._portal, self.loop = ready.result()
        self.ident = self._thread.ident
        self._pid = os.getpid()

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return  # after a fork the thread is the parent's
        self.is_stopping = True
        stopping = self._portal.stop()
        if threading.get_ident() == self.ident:
            self.loop.create_task(stopping)  # collected on the loop's own thread, which cannot join itself
            return
        asyncio.run_coroutine_threadsafe(stopping, self.loop)
        self._thread.join()

    def _run(self, ready: Future[tuple[BlockingPortal, asyncio.AbstractEventLoop]]) -> None:
        options = {"use_uvloop": find_spec("uvloop") is not None}  # the extra `speed`, if it is there
        try:
            import anyio  # noqa: PLC0415 - the async client does without

            anyio.run(_serve, ready, backend_options=options)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)  # or the first caller would wait for ever
            elif threading.main_thread().is_alive():
                raise
            # At exit Python 3.12 refuses asyncio the thread with which it ends its executor.
        finally:
            self.has_ended = True
            for call in self.calls.copy():  # what the loop was given too late to begin
                call.release()


async def _serve(ready: Future[tuple[BlockingPortal, asyncio.AbstractEventLoop]]) -> None:
    from anyio.from_thread import BlockingPortal  # noqa: PLC0415 - likewise

    async with BlockingPortal() as portal:
        ready.set_result((portal, asyncio.get_running_loop()))
        await portal.sleep_until_stopped()


class _Call(Generic[R]):
    """A call that a task on the loop carries out and a thread waits for: one hop there, one back."""

    def __init__(self, start: Callable[[], Awaitable[R]], thread: _LoopThread) -> None:
        self._start = start
        self._thread = thread
        self._task: asyncio.Task[R] | None = None
        self._is_stopped = False
        self._under_way = threading.Lock()  # held until the call has ended
        self._under_way.acquire()

    def run(self) -> R:
        """Have it carried out, and return its result; if the wait is interrupted, it has ended before."""
        try:
            self._hand_over()
            self._under_way.acquire()
        except BaseException as interrupt:  # out of a signal's handler, so at any of these lines
            self._stop()
            self._tell(interrupt)
            raise
        finally:
            self._thread.calls.discard(self)
        return self._result()

    def _hand_over(self) -> None:
        self._thread.calls.add(self)
        self._ask(self._begin)
        if self._thread.has_ended:
            self.release()

    def _ask(self, what: Callable[[], None]) -> None:
        try:
            self._thread.loop.call_soon_threadsafe(what)
        except RuntimeError:
            if not self._thread.loop.is_closed():
                raise  # out of a signal's handler

    def _begin(self) -> None:
        if self._is_stopped or self._thread.is_stopping:
            self.release()
            return
        self._task = self._thread.loop.create_task(self._work())
        self._task.add_done_callback(lambda _: self.release())

    async def _work(self) -> R:
        return await self._start()

    def release(self) -> None:
        """Let the thread go on: the call has ended, or will never begin."""
        with suppress(RuntimeError):  # it was let go before
            self._under_way.release()

    def _result(self) -> R:
        task, self._task = self._task, None
        try:
            if task is None or not task.done():
                raise ClientStateError("the client is closed")  # by another thread, just now
            return task.result()
        except asyncio.CancelledError as cancelled:
            doubt = cancelled.__cause__
        finally:
            del task  # an error's traceback holds this frame: do not make a cycle
        # Raised out here: the cancellation holds the frames of the call, a password among what they hold.
        try:
            if isinstance(doubt, OutcomeUnknownError):
                raise doubt
            raise ClientStateError("the client was closed during the call")
        finally:
            del doubt  # likewise

    def _stop(self) -> None:
        """Cancel the call and see it end: it takes an instant, for which further signals have to wait."""
        patience = time.monotonic() + _PATIENCE
        while not self._has_ended():
            try:
                self._ask(self._cancel)
                self._under_way.acquire()
            except BaseException:
                if time.monotonic() > patience:
                    raise

    def _has_ended(self) -> bool:
        if self._thread.has_ended:
            return True
        return self._is_stopped if self._task is None else self._task.done()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:  # it has not begun, and will not
            self._is_stopped = True
            self.release()

    def _tell(self, interrupt: BaseException) -> None:
        """Tell the interrupt what came of the call: a create's outcome above all."""
        if self._task is None or not self._task.done():
            return
        try:
            result = self._task.result()
        except asyncio.CancelledError as cancelled:
            interrupt.__cause__ = cancelled.__cause__
        except Exception as error:  # noqa: BLE001 - it ended just before, with an error of its own
            interrupt.__cause__ = error
        else:
            interrupt.add_note(f"The call had just ended, with {result!r}")

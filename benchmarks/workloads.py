"""Drives a contender: a number of calls, some of them concurrent."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self

from benchmarks.peers import BLOCKING, ON_ASYNCIO, ONE_PER_THREAD, WITH_SPEED, AsyncCalls, Calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType


class Workload(Protocol):
    """A contender that is ready to run."""

    def run(self, operation: str, count: int, in_flight: int) -> list[float]:
        """Make `count` calls and return how many seconds each took."""
        ...

    def count_calls(self, operation: str) -> int:
        """Return the function calls of one call in its own thread, including those of C functions."""
        ...

    def close(self) -> None:
        """Close connections and threads."""
        ...


class CallCounter:
    """Counts function calls in this thread; resuming a coroutine counts as a call."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)
        self.calls -= 1  # that of `setprofile` above

    def _note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.calls += event in {"call", "c_call"}


class OnAsyncio:
    """Runs calls in tasks that share one iterator."""

    def __init__(self, peer: str, url: str) -> None:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if peer in WITH_SPEED:
            import uvloop

            factory = uvloop.new_event_loop
        self._runner = asyncio.Runner(loop_factory=factory)
        self._stack = AsyncExitStack()
        self._calls = self._runner.run(self._open(peer, url))

    async def _open(self, peer: str, url: str) -> AsyncCalls:
        return await self._stack.enter_async_context(ON_ASYNCIO[peer](url))

    def run(self, operation: str, count: int, in_flight: int) -> list[float]:
        """See `Workload`."""
        return self._runner.run(self._run(getattr(self._calls, operation), range(count), in_flight))

    async def _run(self, call: Callable[[], Awaitable[object]], turns: range, in_flight: int) -> list[float]:
        seconds: list[float] = []
        left = iter(turns)
        await asyncio.gather(*[_take_turns(call, left, seconds) for _ in range(in_flight)])
        return seconds

    def count_calls(self, operation: str) -> int:
        """See `Workload`."""
        return self._runner.run(self._count(getattr(self._calls, operation)))

    async def _count(self, call: Callable[[], Awaitable[object]]) -> int:
        with CallCounter() as counter:
            await call()
        return counter.calls

    def close(self) -> None:
        """See `Workload`."""
        self._runner.run(self._stack.aclose())
        self._runner.close()


async def _take_turns(
    call: Callable[[], Awaitable[object]], turns: Iterator[int], seconds: list[float]
) -> None:
    for _ in turns:
        begun = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - begun)


class OnThreads:
    """Runs calls in threads that share one iterator; a single one is the main thread."""

    def __init__(self, peer: str, url: str) -> None:
        self._peer = peer
        self._url = url
        self._stack = ExitStack()
        self._local = threading.local()
        self._shared = self._open()
        self._pool: ThreadPoolExecutor | None = None

    def _open(self) -> Calls:
        return self._stack.enter_context(BLOCKING[self._peer](self._url))

    def _calls(self) -> Calls:
        if self._peer not in ONE_PER_THREAD:
            return self._shared
        if not hasattr(self._local, "calls"):
            self._local.calls = self._open()
        calls: Calls = self._local.calls
        return calls

    def run(self, operation: str, count: int, in_flight: int) -> list[float]:
        """See `Workload`."""
        seconds: list[float] = []
        turns = iter(range(count))
        if in_flight == 1:
            self._take_turns(operation, turns, seconds)
            return seconds
        self._pool = self._pool or ThreadPoolExecutor(100)
        for ended in [
            self._pool.submit(self._take_turns, operation, turns, seconds) for _ in range(in_flight)
        ]:
            ended.result()
        return seconds

    def _take_turns(self, operation: str, turns: Iterator[int], seconds: list[float]) -> None:
        call: Callable[[], object] = getattr(self._calls(), operation)
        for _ in turns:
            begun = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begun)

    def count_calls(self, operation: str) -> int:
        """See `Workload`."""
        call: Callable[[], object] = getattr(self._calls(), operation)
        with CallCounter() as counter:
            call()
        return counter.calls

    def close(self) -> None:
        """See `Workload`."""
        if self._pool is not None:
            self._pool.shutdown()
        self._stack.close()


def start(peer: str, url: str) -> Workload:
    """Return a contender, ready to run."""
    return OnAsyncio(peer, url) if peer in ON_ASYNCIO else OnThreads(peer, url)

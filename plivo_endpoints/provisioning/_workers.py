"""Limited concurrency: workers that share a stream of items, and a map over a sequence."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


_AT_ONCE: Final = 16


async def map_concurrently(call: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Return the results of `call` for each item, in order; a limited number of calls run at a time."""
    results: list[R] = []
    for first in range(0, len(items), _AT_ONCE):
        results += await asyncio.gather(*map(call, items[first : first + _AT_ONCE]))
    return results


async def run_workers(
    batches: AsyncGenerator[Sequence[T]], work: Callable[[T], Awaitable[bool]], workers: int
) -> None:
    """Process the items of `batches` with so many workers; each stops when its `work` returns false.

    The first error stops all workers and is raised by itself, not as a group.
    """
    ready: deque[T] = deque()
    turn = asyncio.Lock()  # an async generator cannot be advanced concurrently

    async def refill() -> bool:
        async with turn:
            while not ready:  # another worker may have been first
                batch = await anext(batches, None)
                if batch is None:
                    return False
                ready.extend(batch)
        return True

    async def serve() -> None:
        while ready or await refill():
            if not await work(ready.popleft()):
                return

    async with aclosing(batches):
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(serve())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

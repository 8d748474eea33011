"""Several at a time: workers on one stream of things to do, and questions about many."""

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


async def ask_each(things: Sequence[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
    """Return the answers to a question that is asked about each thing, some at a time."""
    answers: list[R] = []
    for first in range(0, len(things), _AT_ONCE):
        answers += await asyncio.gather(*map(ask, things[first : first + _AT_ONCE]))
    return answers


async def run_workers(
    batches: AsyncGenerator[Sequence[T]], work: Callable[[T], Awaitable[bool]], workers: int
) -> None:
    """Work on the things in `batches`, `workers` at a time, each until its `work` returns false.

    The first error stops all of them and is raised by itself, not as a group.
    """
    ready: deque[T] = deque()
    turn = asyncio.Lock()  # a generator serves one at a time

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

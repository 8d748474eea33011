"""Several workers on one stream of things to do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

T = TypeVar("T")


async def share(items: AsyncGenerator[T], work: Callable[[T], Awaitable[bool]], workers: int) -> None:
    """Work on `items`, `workers` at a time, each until its `work` returns false.

    The first error stops all of them and is raised by itself, not as a group.
    """
    turn = asyncio.Lock()  # a generator serves one at a time

    async def serve() -> None:
        more = True
        while more:
            async with turn:
                item = await anext(items, None)
            more = item is not None and await work(item)

    async with aclosing(items):
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(serve())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

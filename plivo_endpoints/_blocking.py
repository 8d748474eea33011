"""Base classes of the blocking API: the same names, arguments and results as the async one."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from plivo_endpoints._errors import ClientStateError, ListChangedWarning

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from plivo_endpoints._models import Page
    from plivo_endpoints._pagination import AsyncPaginator
    from plivo_endpoints._runner import Runner

A = TypeVar("A")
T = TypeVar("T")


class BlockingResource(Generic[A]):
    """The blocking counterpart of an async resource."""

    def __init__(self, resource: A, runner: Runner) -> None:
        self._async = resource
        self._runner = runner
        self._run: Final = runner.run


class Paginator(Generic[T]):
    """Iterates over every object of a list, fetching pages as needed.

    Each iteration starts anew. Leaving one early stops its requests.
    """

    def __init__(self, pages: AsyncPaginator[T], runner: Runner) -> None:
        self._pages = pages
        self._runner = runner

    def __iter__(self) -> Generator[T]:
        for page in self._walk(stacklevel=3):
            yield from page.objects

    def pages(self) -> Generator[Page[T]]:
        """Iterate over pages instead of objects; repeated objects are left out."""
        return self._walk(stacklevel=2)

    def _walk(self, *, stacklevel: int) -> Generator[Page[T]]:
        reasons: list[str] = []
        walk = self._pages._pages(reasons.append)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        try:
            while (page := self._runner.run(lambda: _next(walk))) is not None:
                yield page
        finally:
            # If the client is closed, its loop has already closed the walk.
            with suppress(ClientStateError):
                self._runner.run(lambda: _close(walk))
        for reason in reasons:
            warnings.warn(reason, ListChangedWarning, stacklevel=stacklevel)


async def _next(walk: AsyncGenerator[T]) -> T | None:
    return await anext(walk, None)


async def _close(walk: AsyncGenerator[T]) -> None:
    await walk.aclose()

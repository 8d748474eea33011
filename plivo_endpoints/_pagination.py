"""Iteration over lists whose pages Plivo links by offset, by cursor, or by both."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections import deque
from contextlib import aclosing, suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

from attrs import evolve, frozen

from plivo_endpoints._errors import ClientStateError, ListChangedWarning, ResponseDecodeError
from plivo_endpoints._models import PageMeta

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

    from plivo_endpoints._models import Page
    from plivo_endpoints._runner import Runner
    from plivo_endpoints._sansio.messages import Operation

T = TypeVar("T")

# An object comes twice if creates push it from a page already read to a later one. Repeats therefore come
# soon, and it is enough to remember the last objects, which keeps memory constant.
_REMEMBERED: Final = 2_000
_OFFSET: Final = re.compile(r"[0-9]{1,15}")


@frozen
class Position:
    """Where a page begins: at an offset, or at a cursor, which must be sent without an offset."""

    offset: int = 0
    cursor: str | None = None

    def query(self, page_size: int) -> dict[str, int | str]:
        """Return the query for this page."""
        if self.cursor is not None:
            return {"limit": page_size, "cursor": self.cursor}
        return {"limit": page_size, "offset": self.offset}


class AsyncPaginator(Generic[T]):
    """Iterates over every object of a list, fetching pages as needed.

    `async for` yields the objects, `pages()` the pages. Each iteration starts anew; leaving one early stops
    its requests. Plivo's lists are not snapshots: creates and deletes during an iteration move the pages. An
    object that comes twice is yielded once. An iteration that noticed a change ends with a
    `ListChangedWarning`. With a filter, only the objects that match are yielded, but every page is requested.
    """

    def __init__(
        self,
        fetch: Callable[[dict[str, int | str]], Coroutine[Any, Any, Page[T]]],
        *,
        operation: Operation[Page[T]],
        identify: Callable[[T], str],
        page_size: int,
        offset: int,
        prefetch: int,
        matches: Callable[[T], bool] | None = None,
    ) -> None:
        self._fetch = fetch
        self._operation = operation
        self._identify = identify
        self._page_size = page_size
        self._offset = offset
        self._prefetch = prefetch
        self._matches = matches

    async def __aiter__(self) -> AsyncGenerator[T]:
        async with aclosing(self._pages(_warn_at(stacklevel=3))) as pages:
            async for page in pages:
                for item in page.objects:
                    yield item

    def pages(self) -> AsyncGenerator[Page[T]]:
        """Iterate over pages instead of objects, without repeated objects and those that do not match.

        With a filter, a page may be empty. Its `meta` is as received, so `total_count` counts all objects.
        """
        return self._pages(_warn_at(stacklevel=2))

    async def _pages(self, report: Callable[[str], object]) -> AsyncGenerator[Page[T]]:
        changes = _Changes(self._identify, self._offset)
        async with aclosing(self._walk()) as pages:
            async for page in pages:
                yield self._only_matches(changes.without_repeats(page))
        reason = changes.why_incomplete()
        if reason is not None:
            report(reason)

    def _only_matches(self, page: Page[T]) -> Page[T]:
        if self._matches is None:
            return page
        return evolve(page, objects=tuple(filter(self._matches, page.objects)))

    async def _walk(self) -> AsyncGenerator[Page[T]]:
        position: Position | None = Position(self._offset)
        cursors: set[str] = set()
        ahead: deque[tuple[Position, asyncio.Task[Page[T]]]] = deque()
        try:
            while position is not None:
                page = await self._next_page(position, ahead)
                position = self._following(page, position, cursors)
                await self._look_ahead(page, position, ahead)
                yield page
        finally:
            await _drop(ahead)

    async def _next_page(
        self, position: Position, ahead: deque[tuple[Position, asyncio.Task[Page[T]]]]
    ) -> Page[T]:
        if not ahead:
            return await self._fetch(position.query(self._page_size))
        _, task = ahead[0]
        page = await task
        ahead.popleft()  # only now: if the iteration is left during the wait, the task must be cancelled
        return page

    async def _look_ahead(
        self,
        page: Page[T],
        position: Position | None,
        ahead: deque[tuple[Position, asyncio.Task[Page[T]]]],
    ) -> None:
        """Prefetch the pages after this one, if their offsets are known."""
        if ahead and ahead[0][0] != position:
            await _drop(ahead)  # Plivo's next-page link does not match the predicted offset
        total = page.meta.total_count
        if position is None or position.cursor is not None or total is None:
            return
        offset = ahead[-1][0].offset + self._page_size if ahead else position.offset
        while len(ahead) < self._prefetch and offset < total:
            upcoming = Position(offset)
            ahead.append((upcoming, asyncio.create_task(self._fetch(upcoming.query(self._page_size)))))
            offset += self._page_size

    def _following(self, page: Page[T], position: Position, cursors: set[str]) -> Position | None:
        """Return the position of the next page; `None` after the last.

        Only offset and cursor are taken from `meta.next`; host, path and account stay our own.
        """
        if page.meta == PageMeta():  # no links at all: a short page is the last
            full = len(page.objects) >= self._page_size
            return Position(position.offset + self._page_size) if full else None
        if not page.meta.next:
            return None
        query = parse_qs(urlsplit(page.meta.next).query)
        cursor = query.get("cursor", [""])[0]
        if cursor and cursor not in cursors:
            cursors.add(cursor)
            return Position(position.offset, cursor)
        offset = query.get("offset", [""])[0]
        if not cursor and _OFFSET.fullmatch(offset) and int(offset) > position.offset:
            return Position(int(offset))
        raise ResponseDecodeError(
            "the next-page link repeats or goes backwards",
            status=HTTPStatus.OK,
            method=self._operation.method,
            path=self._operation.path,
        )


def _warn_at(*, stacklevel: int) -> Callable[[str], object]:
    # The warning points to the caller's loop: Python shows a warning once per location.
    return partial(warnings.warn, category=ListChangedWarning, stacklevel=stacklevel)


async def search(paginator: AsyncPaginator[T], is_wanted: Callable[[T], bool]) -> tuple[list[T], bool]:
    """Walk once; return the matches, and whether the list was complete and did not shrink."""
    changes = _Changes(paginator._identify, paginator._offset)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    found: list[T] = []
    async with aclosing(paginator._walk()) as pages:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        async for page in pages:
            found += filter(is_wanted, changes.without_repeats(page).objects)
    return found, not (changes.shrank or changes.is_short)


class _Changes(Generic[T]):
    """Detects that the list changed during a walk."""

    def __init__(self, identify: Callable[[T], str], offset: int) -> None:
        self._identify = identify
        self._seen = offset  # number of objects, including those before the first page
        self._total: int | None = None
        self._last_total = 0
        self._recent: dict[str, None] = {}  # in order of appearance
        self.noticed = False
        self.shrank = False  # deletes move objects to pages already read; creates do not

    def why_incomplete(self) -> str | None:
        """Return, after the last page, why objects may be missing; `None` if there is no sign of it."""
        if self.noticed:
            return "the list changed while it was read: some objects may be missing here, so read it again"
        if self.is_short:
            return "the list ended before its reported total: some are missing here, so list them again"
        return None

    @property
    def is_short(self) -> bool:
        """Whether the pages so far hold fewer objects than the list has."""
        return self._seen < self._last_total

    def without_repeats(self, page: Page[T]) -> Page[T]:
        """Return the page without the objects that came before."""
        total = page.meta.total_count
        self._seen += len(page.objects)
        if self._total is None:
            self._total = total
        if total is not None:
            self.shrank = self.shrank or total < self._last_total
            self._last_total = total
        kept = tuple([item for item in page.objects if self._is_new(self._identify(item))])
        unchanged = len(kept) == len(page.objects)
        if total != self._total or not unchanged:
            self.noticed = True
        return page if unchanged else evolve(page, objects=kept)

    def _is_new(self, key: str) -> bool:
        if key in self._recent:
            return False
        self._recent[key] = None
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return True


async def _drop(ahead: deque[tuple[Position, asyncio.Task[Page[T]]]]) -> None:
    tasks = [task for _, task in ahead]
    ahead.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
        """Iterate over pages instead of objects, without repeated objects and those that do not match.

        With a filter, a page may be empty. Its `meta` is as received, so `total_count` counts all objects.
        """
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

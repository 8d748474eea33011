"""Walks over an account's complete list of endpoints."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from attrs import define

from plivo_endpoints._validation import SURROGATE
from plivo_endpoints.provisioning._entries import Found
from plivo_endpoints.provisioning._reach import overlapping_pages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Endpoint, Page


_PAUSES: Final = (0.0, 0.25, 1.0, 4.0, 16.0)  # seconds before each walk

_NEEDED: Final = {"alias", "username"}

# Why a walk may have missed an endpoint.
NO_TOTAL: Final = "the list has no total_count, so it may be truncated: ask the service provider about it"
CHANGED: Final = (
    "endpoints were deleted or moved while the list was read: try again when nobody changes the account"
)
SHORT: Final = (
    "the list ended before it had shown as many endpoints as its total_count: try again, or ask the service "
    "provider about it"
)
UNREADABLE: Final = (
    "the list has an endpoint whose alias or username cannot be read, so it may belong to any row: ask the "
    "service provider about it"
)


@define
class WalkProgress:
    """How many endpoints the latest walk has read; `total` is 0 until it is known."""

    read: int = 0
    total: int = 0


_watched: Final[ContextVar[WalkProgress | None]] = ContextVar("watched", default=None)


@contextmanager
def watched_walks() -> Generator[WalkProgress]:
    """Return a progress object that is updated by walks started within the block, including in its tasks."""
    progress = WalkProgress()
    token = _watched.set(progress)
    try:
        yield progress
    finally:
        _watched.reset(token)


class Walk:
    """One walk; afterwards `gap` is why it may have missed an endpoint, or `None` if it was complete.

    If endpoints are deleted while the list is read, those after them move to pages already read. An unchanged
    total does not rule that out, as others may have been created at the same time. So pages that are linked
    by offset overlap: a list keeps its order, so if each page contains the last endpoint of the page before,
    nothing was missed between them. A few creates do no harm: a list ordered by age repeats some endpoints or
    grows at its end. Cursors keep their place by themselves; with them, the total must never have fallen. A
    list that has no total, or ends before reaching it, proves nothing.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._before: Page[Endpoint] | None = None
        self._overlaps = False  # whether the next page begins with the last endpoint of `_before`
        self._met = 0
        self._total = 0  # the smallest seen: endpoints created during the walk need not be met
        self._progress = _watched.get() or WalkProgress()
        self._progress.read = self._progress.total = 0
        self.gap: str | None = None

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Return the pages, without endpoints that cannot belong to any row."""
        async with aclosing(overlapping_pages(self._client)) as pages:
            async for page in pages:
                self.gap = self.gap or self._find_gap(page)
                self._count(page)
                self._before, self._overlaps = page, not _has_cursor(page)
                yield [found for endpoint in page.objects if (found := _found(endpoint))]
        if self.gap is None and self._met < self._total:
            self.gap = SHORT

    def _count(self, page: Page[Endpoint]) -> None:
        self._progress.read += len(page.objects) - self._overlaps
        self._progress.total = page.meta.total_count or 0

    def _find_gap(self, page: Page[Endpoint]) -> str | None:
        """Return why an endpoint may have been missed between the previous page and this one."""
        before, total = self._before, page.meta.total_count
        if any(endpoint.extra.keys() & _NEEDED for endpoint in page.objects):
            return UNREADABLE
        if total is None:
            return NO_TOTAL
        self._total = total if before is None else min(self._total, total)
        self._met += len(page.objects)
        if before is None:
            return None
        if not self._overlaps:
            return None if total >= (before.meta.total_count or 0) else CHANGED
        self._met -= 1  # it overlaps
        last = before.objects[-1].endpoint_id if before.objects else None
        return None if any(endpoint.endpoint_id == last for endpoint in page.objects) else CHANGED


def _has_cursor(page: Page[Endpoint]) -> bool:
    return "cursor" in parse_qs(urlsplit(page.meta.next or "").query)


async def walk(
    client: AsyncClient,
    visit: Callable[[list[Found]], Awaitable[None]],
    *,
    forget: Callable[[], Awaitable[None]] | None = None,
) -> str | None:
    """Pass every page of the list to `visit`; return why endpoints may be missing, or `None` if none are.

    Pages overlap, so `visit` may receive an endpoint more than once. While endpoints may be missing, the list
    is walked again, a few times, with growing pauses, as recent creates may still be appearing. `forget` is
    called before each repetition, for callers that must not count what an earlier walk met, as it may have
    been deleted since.
    """
    gap: str | None = None
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        if gap and forget is not None:
            await forget()
        attempt = Walk(client)
        async with aclosing(attempt.pages()) as pages:
            async for page in pages:
                if page:
                    await visit(page)
        gap = attempt.gap
        if gap in {None, NO_TOTAL, UNREADABLE}:  # walking again would not help
            break
    return gap


def _found(endpoint: Endpoint) -> Found | None:
    if not endpoint.alias or not endpoint.username or SURROGATE.search(endpoint.alias + endpoint.username):
        return None
    return Found(endpoint.endpoint_id, endpoint.username, endpoint.alias, endpoint.application_id)

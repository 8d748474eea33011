"""Walks over the whole list of an account."""

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
NO_TOTAL: Final = (
    "the list lacks the total_count that Plivo's has, and may be cut short: ask the service for it"
)
CHANGED: Final = "endpoints were deleted, or moved, while the list was read: try again while nobody does that"
SHORT: Final = (
    "the list ended before it had shown as many endpoints as its total_count: try again, or ask the service"
)
UNREADABLE: Final = (
    "the list has an endpoint whose alias or username cannot be read, so it may be any row's: ask the service"
)


@define
class WalkProgress:
    """How far the latest walk has come; `total` is 0 until it is known."""

    read: int = 0
    total: int = 0


_watched: Final[ContextVar[WalkProgress | None]] = ContextVar("watched", default=None)


@contextmanager
def watched_walks() -> Generator[WalkProgress]:
    """Lend a progress that the walks begun within the block, and in its tasks, keep up to date."""
    progress = WalkProgress()
    token = _watched.set(progress)
    try:
        yield progress
    finally:
        _watched.reset(token)


class Walk:
    """One walk; `doubt` says afterwards why it may have missed an endpoint, and is `None` if it cannot have.

    Endpoints that vanish while the list is read move those after them to pages already read; a total that
    stays does not prove that none did, as others may have been made meanwhile. So where pages are linked by
    offset they overlap: a list keeps its order, so if each page holds the endpoint that the one before ended
    with, nothing was between them. A few creates do no harm: a list in order of age repeats some, or grows at
    its end. Cursors keep their place by themselves; there the sign is a total that never fell. A list that
    does not tell its total, or ends before it, proves nothing.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._before: Page[Endpoint] | None = None
        self._met = 0
        self._total = 0  # the least that there was: what is made meanwhile need not be met
        self._progress = _watched.get() or WalkProgress()
        self._progress.read = self._progress.total = 0
        self.doubt: str | None = None

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Return the pages, without endpoints that cannot be anybody's row."""
        async with aclosing(overlapping_pages(self._client)) as pages:
            async for page in pages:
                self.doubt = self.doubt or self._doubt(page)
                self._count(page)
                self._before = page
                yield [found for endpoint in page.objects if (found := _found(endpoint))]
        if self.doubt is None and self._met < self._total:
            self.doubt = SHORT

    def _count(self, page: Page[Endpoint]) -> None:
        overlap = 0 if self._before is None or _has_cursor(self._before) else 1
        self._progress.read += len(page.objects) - overlap
        self._progress.total = page.meta.total_count or 0

    def _doubt(self, page: Page[Endpoint]) -> str | None:
        """Return why something can have been missed between the page before and this one."""
        before, total = self._before, page.meta.total_count
        if any(endpoint.extra.keys() & _NEEDED for endpoint in page.objects):
            return UNREADABLE
        if total is None:
            return NO_TOTAL
        self._total = total if before is None else min(self._total, total)
        self._met += len(page.objects)
        if before is None:
            return None
        if _has_cursor(before):
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
    """Show every page of the list to `visit`; return why some may be missing, `None` if none can.

    Pages overlap, so `visit` may be shown an endpoint more than once. As long as some may be missing, the
    list is walked again, a few times, after longer and longer pauses: what was made of late may still be
    coming in. Before that `forget` is called, where what an earlier walk met must not count, because it may
    be just that which has vanished.
    """
    doubt: str | None = None
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        if doubt and forget is not None:
            await forget()
        attempt = Walk(client)
        async with aclosing(attempt.pages()) as pages:
            async for page in pages:
                if page:
                    await visit(page)
        doubt = attempt.doubt
        if doubt in {None, NO_TOTAL, UNREADABLE}:  # walking again would not help
            break
    return doubt


def _found(endpoint: Endpoint) -> Found | None:
    if not endpoint.alias or not endpoint.username or SURROGATE.search(endpoint.alias + endpoint.username):
        return None
    return Found(endpoint.endpoint_id, endpoint.username, endpoint.alias, endpoint.application_id)

"""Walks over the whole list of an account."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from plivo_endpoints.provisioning._reach import overlapping_pages
from plivo_endpoints.provisioning._states import Found

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Endpoint, Page


class Walk:
    """One walk; `is_whole` says afterwards whether what it did not meet was not there.

    Endpoints that vanish while the list is read move those after them to pages already read; a total that
    stays does not prove that none did, as others may have been made meanwhile. So where pages are linked by
    offset they overlap: a list keeps its order, so if each page holds the endpoint that the one before ended
    with, nothing was between them. A few creates do no harm: a list in order of age repeats some, or grows at
    its end. Cursors keep their place by themselves; there the sign is a total that never fell. A list that
    does not tell its total proves nothing.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._before: Page[Endpoint] | None = None
        self.is_whole = True

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Return the pages, without endpoints that cannot be anybody's row."""
        async with aclosing(overlapping_pages(self._client)) as pages:
            async for page in pages:
                self.is_whole = self.is_whole and _joins(self._before, page)
                self._before = page
                yield [found for endpoint in page.objects if (found := _found(endpoint))]


def _joins(before: Page[Endpoint] | None, page: Page[Endpoint]) -> bool:
    """Return whether nothing can have been missed between two pages that follow each other."""
    total = page.meta.total_count
    if total is None:  # that it was the last page cannot be believed either
        return False
    if before is None:
        return True
    if "cursor" in parse_qs(urlsplit(before.meta.next or "").query):
        return total >= (before.meta.total_count or 0)
    last = before.objects[-1].endpoint_id if before.objects else None
    return any(endpoint.endpoint_id == last for endpoint in page.objects)


async def walk(client: AsyncClient, visit: Callable[[list[Found]], Awaitable[None]]) -> bool:
    """Show every page of the list to `visit` and return whether the walk was whole.

    Pages overlap, so `visit` may be shown an endpoint more than once.
    """
    attempt = Walk(client)
    async with aclosing(attempt.pages()) as pages:
        async for page in pages:
            if page:
                await visit(page)
    return attempt.is_whole


def _found(endpoint: Endpoint) -> Found | None:
    if not endpoint.alias or not endpoint.username:
        return None
    return Found(endpoint.endpoint_id, endpoint.username, endpoint.alias, endpoint.application_id)

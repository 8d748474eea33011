"""Walks over the whole list of an account."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._patience import patiently
from plivo_endpoints.provisioning._reach import raw_pages
from plivo_endpoints.provisioning._states import Found

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Endpoint


class Walk:
    """One walk; `is_whole` says afterwards whether what it did not meet was not there.

    Endpoints that vanish while the list is read move those after them to pages already read. Creates do not:
    a list in any order of age only repeats some, or grows at its end. So a total that never fell is the sign
    of a walk that missed nothing.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._total = 0
        self.is_whole = True

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Return the pages, without endpoints that cannot be anybody's row."""
        async with aclosing(raw_pages(self._client)) as pages:
            async for page in pages:
                total = self._total if page.meta.total_count is None else page.meta.total_count
                self.is_whole = self.is_whole and total >= self._total
                self._total = total
                yield [found for endpoint in page.objects if (found := _found(endpoint))]


async def walk(client: AsyncClient, visit: Callable[[list[Found]], Awaitable[None]]) -> bool:
    """Show every page of the list to `visit` and return whether the walk was whole.

    A walk that breaks off begins anew, so `visit` may be shown an endpoint more than once.
    """
    return await patiently(lambda: _walk_once(client, visit))


async def _walk_once(client: AsyncClient, visit: Callable[[list[Found]], Awaitable[None]]) -> bool:
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

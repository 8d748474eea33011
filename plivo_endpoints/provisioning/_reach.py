"""Everything that provisioning uses of the client's internals, in one place."""
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._config import LARGEST_PAGE, PREFETCH
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints.provisioning._outage import retry_transient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._events import Observer
    from plivo_endpoints._models import Endpoint, Page
    from plivo_endpoints._runner import Runner


def check_client(client: object) -> None:
    """Raise `InvalidArgumentError` for a blocking client, which would fail later."""
    if isinstance(client, Client):
        raise InvalidArgumentError("client", "must be an AsyncClient: use Fleet with a Client")


def check_blocking_client(client: object) -> None:
    """Raise `InvalidArgumentError` for an async client."""
    if not isinstance(client, Client):
        raise InvalidArgumentError("client", "must be a Client: use AsyncFleet with an AsyncClient")


def async_view(client: Client) -> AsyncClient:
    """Return an async view of a blocking client for its own loop; it shares connections and rate limit."""
    view = AsyncClient.__new__(AsyncClient)
    view._set_up(client._connections, client._options, root=view)
    return view


def runner_of(client: Client) -> Runner:
    """Return the runner of a blocking client's coroutines."""
    return client._runner


def account_of(client: AsyncClient) -> str:
    """Return the URL of the client's account; it identifies account and server."""
    return client._connections.account_url


def observer_of(client: AsyncClient) -> Observer:
    """Return what reports the client's events."""
    return client._connections.observer


def spend_rate_limit(client: AsyncClient) -> None:
    """Treat the rate limit as used up now, as it is unknown what an earlier process has just sent.

    The state does not know it either: it does not record the pages of a walk, and its times come from a clock
    that may have been set since. To rule out recent requests, each start and end of work would have to be
    recorded durably.
    """
    client._connections._window.spend(time.monotonic())


def another_window(client: AsyncClient) -> SlidingWindow:
    """Return a new window with the client's rate limit that counts separately.

    It has no limit if the client's is shared, as that one spaces requests itself.
    """
    return SlidingWindow(client._connections._window.limit)


def overlapping_pages(client: AsyncClient) -> AsyncGenerator[Page[Endpoint]]:
    """Walk the list; if pages are linked by offset, each begins with the last endpoint of the one before.

    A cursor marks where the last page ended, so such pages do not overlap. Each page is retried by itself: a
    walk of thousands of pages would never end if one failure restarted it.
    """
    pages = client.endpoints.list(page_size=LARGEST_PAGE - 1, prefetch=PREFETCH)
    fetch = pages._fetch

    async def fetch_retrying(query: Mapping[str, int | str]) -> Page[Endpoint]:
        return await retry_transient(lambda: fetch(_begun_earlier(query)))

    pages._fetch = fetch_retrying
    return pages._walk()


def _begun_earlier(query: Mapping[str, int | str]) -> dict[str, int | str]:
    # The page still ends at the same place, so the offset in its link is unchanged.
    offset = int(query.get("offset", 0))
    return {"limit": LARGEST_PAGE, "offset": offset - 1} if offset else dict(query)

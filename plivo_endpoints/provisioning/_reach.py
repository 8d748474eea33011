"""What provisioning needs of the client beyond its public face, in one place."""
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._config import LARGEST_PAGE, PREFETCH
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints.provisioning._retry import retry_transient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._models import Endpoint, Page
    from plivo_endpoints._runner import Runner
    from plivo_endpoints._sansio.rate_limit import SlidingWindow


def check_client(client: object) -> None:
    """Refuse a blocking client, which would fail somewhere on the way."""
    if isinstance(client, Client):
        raise InvalidArgumentError("client", "must be an AsyncClient: a Client goes with Fleet")


def check_blocking_client(client: object) -> None:
    """Refuse an async client."""
    if not isinstance(client, Client):
        raise InvalidArgumentError("client", "must be a Client: an AsyncClient goes with AsyncFleet")


def async_view(client: Client) -> AsyncClient:
    """Return an async view of a blocking client, for its own loop: connections and rate limit are shared."""
    view = AsyncClient.__new__(AsyncClient)
    view._set_up(client._connections, client._options, root=view)
    return view


def runner_of(client: Client) -> Runner:
    """Return what runs a blocking client's coroutines."""
    return client._runner


def account_of(client: AsyncClient) -> str:
    """Return the URL of the client's account: a state belongs to one account on one server."""
    return client._connections.account_url


def spend_rate_limit(client: AsyncClient) -> None:
    """Take the rate limit as used up now: what an earlier process sent until now is known to nobody.

    Not even to its state: that has no pages of a walk, and its times are of a clock that may have been set
    since. To know that nothing was sent of late would take a durable note at each begin and end of work.
    """
    client._connections._window.spend(time.monotonic())


def another_window(client: AsyncClient) -> SlidingWindow:
    """Return a window of the client's rate limit that counts by itself."""
    window = client._connections._window
    return type(window)(window.limit)


def overlapping_pages(client: AsyncClient) -> AsyncGenerator[Page[Endpoint]]:
    """Walk the list as it comes; where pages are linked by offset, each begins with the end of the last.

    A cursor says by itself where the last page ended, so there nothing overlaps. Each page is tried for by
    itself: a walk of thousands would never end if a page that fails meant all of them again.
    """
    pages = client.endpoints.list(page_size=LARGEST_PAGE - 1, prefetch=PREFETCH)
    fetch = pages._fetch

    async def fetch_retrying(query: Mapping[str, int | str]) -> Page[Endpoint]:
        return await retry_transient(lambda: fetch(_begun_earlier(query)))

    pages._fetch = fetch_retrying
    return pages._walk()


def _begun_earlier(query: Mapping[str, int | str]) -> dict[str, int | str]:
    # The end stays where it was, and with it the offset that the page's link names.
    offset = int(query.get("offset", 0))
    return {"limit": LARGEST_PAGE, "offset": offset - 1} if offset else dict(query)

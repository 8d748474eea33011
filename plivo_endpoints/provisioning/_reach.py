"""What provisioning needs of the client beyond its public face, in one place."""
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._config import RateLimit
    from plivo_endpoints._models import Endpoint, Page
    from plivo_endpoints._sansio.rate_limit import SlidingWindow

_PAGES_AHEAD: Final = 4


def account_of(client: AsyncClient) -> str:
    """Return the URL of the client's account: a journal belongs to one account on one server."""
    return client._connections.account_url


def spend_rate_limit(client: AsyncClient) -> None:
    """Take the rate limit as used up now: what an earlier process sent until now is known to nobody."""
    client._connections._window.spend(time.monotonic())


def rate_limit_of(client: AsyncClient) -> RateLimit | None:
    """Return the client's rate limit."""
    return client._connections._window._limit


def another_window(client: AsyncClient) -> SlidingWindow:
    """Return a window of the client's rate limit that counts by itself."""
    window = client._connections._window
    return type(window)(window._limit)


def raw_pages(client: AsyncClient) -> AsyncGenerator[Page[Endpoint]]:
    """Walk the list as it comes: here more follows from a changing account than a warning."""
    return client.endpoints.list(prefetch=_PAGES_AHEAD)._walk()

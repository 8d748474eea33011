"""The rate limit of creates: evenly spaced, and counted from the response rather than from the sending."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plivo_endpoints._sansio.rate_limit import SlidingWindow

_CATCH_UP: Final = 0.1  # seconds: a sleep that lasts a little too long must not reduce the rate permanently


class CreateRateLimiter:
    """Holds creates to the rate limit as the server counts them.

    The client counts a request from when it was sent. If a request is delayed, on the network or in a busy
    server, the server counts it later than the client does, and that happens often enough in a run of hours
    at full rate. So a create occupies its slot until one period after its response, and creates are sent one
    by one instead of in bursts.
    """

    def __init__(self, window: SlidingWindow) -> None:
        self._window = window
        self._gap = 0.0 if window.limit is None else window.limit.seconds / window.limit.requests
        self._next = 0.0
        self._turns = asyncio.Lock()

    async def begin(self) -> None:
        """Wait until a create may be sent."""
        async with self._turns:
            if (wait := self._next - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            while (free := self._window.reserve(now := time.monotonic())) > now:  # noqa: ASYNC110 - it names the time
                await asyncio.sleep(free - now)
            self._next = max(self._next, now - _CATCH_UP) + self._gap

    def end(self) -> None:
        """Record that the create was answered, or was not sent."""
        self._window.settle(time.monotonic())

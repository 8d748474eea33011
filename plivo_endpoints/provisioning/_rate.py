"""The pace of creates: even, and by when they were answered rather than by when they left."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plivo_endpoints._sansio.rate_limit import SlidingWindow

_CATCH_UP: Final = 0.1  # seconds: a sleep that lasts a little too long must not slow the pace for good


class CreateRateLimiter:
    """Holds creates to the rate limit as the server counts them.

    The client counts a request from when it left. One that lingers, on the way or in a server that is busy,
    is counted there later than here, and a run at full rate for hours has enough of those. So a create holds
    its place until one period after its answer, and they go one by one instead of in bursts.
    """

    def __init__(self, window: SlidingWindow) -> None:
        self._window = window
        self._gap = 0.0 if window.limit is None else window.limit.seconds / window.limit.requests
        self._next = 0.0
        self._turns = asyncio.Lock()

    async def begin(self) -> None:
        """Wait for the turn of a create."""
        async with self._turns:
            if (wait := self._next - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            while (free := self._window.reserve(now := time.monotonic())) > now:  # noqa: ASYNC110 - it names the time
                await asyncio.sleep(free - now)
            self._next = max(self._next, now - _CATCH_UP) + self._gap

    def end(self) -> None:
        """Say that the create has been answered, or was none."""
        self._window.settle(time.monotonic())

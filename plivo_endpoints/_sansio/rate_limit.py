"""The rate limit: a sliding window over the requests that may have reached Plivo."""

from __future__ import annotations

from bisect import insort
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plivo_endpoints._config import Priority, RateLimit


class SlidingWindow:
    """Allows no more than the limit in any window, whenever within its attempt a request arrives.

    A request may arrive at any moment between `reserve` and `settle`, so it holds its place from the first
    until one period after the second. Counting from the reservation alone would let a burst that waited for
    its connections fall into one window with the next burst.

    All times are monotonic seconds. Safe to share between loops in several threads.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self.limit = limit
        self._under_way = 0
        self._left: list[float] = []  # when the requests of the last period were sent, sorted
        self.paused_until: float = 0.0  # nothing may be sent before
        self._lock = Lock()

    def reserve(self, now: float) -> float:
        """Take a place and return `now`; if none is free, return the later time to try again."""
        with self._lock:
            if now < self.paused_until:
                return self.paused_until
            if self.limit is None:
                return now
            # The same sum as below; otherwise rounding could refuse a place at the very time returned.
            while self._left and self._left[0] + self.limit.seconds <= now:
                del self._left[0]
            if self._under_way + len(self._left) < self.limit.requests:
                self._under_way += 1
                return now
            # A request under way cannot free its place before one period from now.
            return (self._left[0] if self._left else now) + self.limit.seconds

    async def find(self, now: float, *, wanted: int, priority: Priority) -> float:  # noqa: ARG002
        """Take a place and return 0, or return in how many seconds to try again."""
        return self.reserve(now) - now

    def is_stale(self, reserved: float, now: float) -> bool:  # noqa: ARG002
        """Whether a place that was taken is too old to be used: here it is held until it is settled."""
        return False

    def settle(self, left: float | None) -> None:
        """Record when a request with a place was sent; `None` if it never was, which frees the place."""
        if self.limit is None:
            return
        with self._lock:
            self._under_way -= 1
            if left is not None:
                insort(self._left, left)

    def pause(self, until: float) -> None:
        """Give out no place before `until`: a 429 applies to the whole account."""
        with self._lock:
            self.paused_until = max(self.paused_until, until)

    async def announce_pause(self) -> None:
        """Do nothing, as no other process shares this window; see `SharedWindow.announce_pause`."""

    def spend(self, now: float) -> None:
        """Count the whole limit as used at `now`, since it is unknown what another process has sent."""
        if self.limit is not None:
            self.pause(now + self.limit.seconds)

"""The rate limit: a sliding window over what may have reached Plivo."""

from __future__ import annotations

from bisect import insort
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plivo_endpoints._config import RateLimit


class SlidingWindow:
    """Never more than the limit in any window, whenever within its attempt a request really arrived.

    A request may arrive at any moment between `reserve` and `settle`, so it holds its place from the first
    until one period after the second. Counting from the reservation alone would let a burst that waited for
    its connections meet the next burst within one window.

    All times are monotonic seconds. Safe to share between loops in several threads.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self.limit = limit
        self._under_way = 0
        self._left: list[float] = []  # when each of the last period's requests had left, in order
        self.paused_until = 0.0  # nothing may leave before
        self._lock = Lock()

    def reserve(self, now: float) -> float:
        """Take a place and return `now`; or take none and return the later time from which to ask again."""
        with self._lock:
            if now < self.paused_until:
                return self.paused_until
            if self.limit is None:
                return now
            # The same sum as below, or rounding could refuse a place at the very time it named.
            while self._left and self._left[0] + self.limit.seconds <= now:
                del self._left[0]
            if self._under_way + len(self._left) < self.limit.requests:
                self._under_way += 1
                return now
            # A request under way cannot free its place before one period from now.
            return (self._left[0] if self._left else now) + self.limit.seconds

    def settle(self, left: float | None) -> None:
        """Say by when a request with a place had left; `None` where it never did and the place is free."""
        if self.limit is None:
            return
        with self._lock:
            self._under_way -= 1
            if left is not None:
                insort(self._left, left)

    def pause(self, until: float) -> None:
        """Give out no place before `until`: Plivo said 429, which is meant for the whole account."""
        with self._lock:
            self.paused_until = max(self.paused_until, until)

    def spend(self, now: float) -> None:
        """Take the whole limit as used at `now`: what another process sent until then is not known here."""
        if self.limit is not None:
            self.pause(now + self.limit.seconds)

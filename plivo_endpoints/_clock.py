"""The system clock, and the monotonic clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that datetime supports


class _Clock:
    # A class attribute, because tools that freeze time in tests patch module attributes. With a frozen clock,
    # the rate limit would never let anything through again.
    monotonic = staticmethod(time.monotonic)

    def wall(self) -> float:
        """Return the system time in epoch seconds, within the range of `datetime`."""
        return min(max(time.time(), 0.0), LAST_SECOND)

    def now(self) -> datetime:
        """Return the system time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.wall(), UTC)


CLOCK: Final = _Clock()

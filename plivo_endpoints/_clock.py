"""The two clocks: one that tells the time of day, and one that only ever moves forward at its own pace."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

LAST_SECOND: Final = 253_402_300_799  # of the year 9999, where datetime ends


class _Clock:
    # An attribute of a class: tools that freeze time for tests replace what they find in modules, and a rate
    # limit that counts in frozen seconds would never let anything through again.
    monotonic = staticmethod(time.monotonic)

    def wall(self) -> float:
        """Return the time of day in epoch seconds, within what `datetime` can hold."""
        return min(max(time.time(), 0.0), LAST_SECOND)

    def now(self) -> datetime:
        """Return the time of day as an aware UTC time."""
        return datetime.fromtimestamp(self.wall(), UTC)


CLOCK: Final = _Clock()

"""Evenly spaced places of a rate limit that several processes share."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from typing import Final

from attrs import frozen

from plivo_endpoints._config import Priority  # noqa: TC001 - type hints resolve the annotations

# How far ahead places are given out, in seconds. Bulk requests get only places that are due almost at once:
# interactive ones never wait behind more than those. Places that were given out survive a pause, and are lost
# with a process that is killed, so interactive ones are not given out far ahead either.
HORIZON: Final[Mapping[Priority, float]] = {"interactive": 0.3, "bulk": 0.1}
_ROUNDING: Final = 0.001  # seconds, much more than an error of rounding


@frozen
class Reservation:
    """What a reservation of places brought.

    Attributes:
        waits: For each place, in how many seconds a request may be sent, in ascending order; fewer than were
            asked for if the others are too far ahead.
        retry_after: If there are fewer, the seconds after which to ask again.
    """

    waits: tuple[float, ...] = ()
    retry_after: float = 0.0


@frozen
class Pace:
    """When an account's next request may be sent; times are in seconds of the store's clock.

    The whole state of a shared limit. A window over the requests that were sent, as one process has, would
    allow bursts, but would need to know when each of them was sent, also those of a process that was killed.

    Attributes:
        next_place: When the next request may be sent.
        paused_until: No request is sent before, because Plivo has refused one with 429.
    """

    next_place: float = 0.0
    paused_until: float = 0.0

    def reserve(self, now: float, places: int, *, gap: float, priority: Priority) -> tuple[Pace, Reservation]:
        """Reserve up to so many places, `gap` seconds apart; return the pace afterwards, too."""
        first = max(self.next_place, self.paused_until, now)
        last = now + HORIZON[priority]
        count = 0 if first > last else min(places, 1 + int((last - first) / gap))
        waits = tuple(first - now + number * gap for number in range(count))
        after = first + count * gap
        retry_after = 0.0 if count == places else max(_ROUNDING, after - last)
        return Pace(after if count else self.next_place, self.paused_until), Reservation(waits, retry_after)

    def pause(self, until: float) -> Pace:
        """Give out no place before `until`."""
        return Pace(self.next_place, max(self.paused_until, until))

"""Plivo's limit on how often an account may ask for its endpoints."""

from collections import deque

LIMIT = 300
WINDOW = 5.0  # seconds


class Quota:
    """At most 300 admitted requests in any 5 seconds; refused ones do not count."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque(maxlen=LIMIT)

    def admit(self, now: float) -> bool:
        """Tell whether a request at `now` (seconds) fits, and count it if so."""
        # What is later than now was counted before the clock was set back.
        if len(self._admitted) == LIMIT and 0 <= now - self._admitted[0] < WINDOW:
            return False
        self._admitted.append(now)
        return True

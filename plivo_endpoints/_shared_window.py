"""One process's part of a rate limit that is shared through a store."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._events import logger
from plivo_endpoints._sansio.pacing import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._config import Priority, RateLimit
    from plivo_endpoints._sansio.pacing import Reservation

# Seconds that a place stays valid. The loop may be late, but places that are used much later than they were
# given out would come in a burst.
_LATENESS: Final = 0.1
_LONGEST_ANSWER: Final = 1.0  # seconds that a store may take
_SHORTEST_WAIT: Final = 0.001  # seconds
_RETRY_STORE: Final = 1.0  # seconds between attempts to reach a store that failed

# The pace of this process, by account, while a store cannot be reached: all its clients have one share.
_OWN_PACES: Final[dict[str, Pace]] = {}
_OWN_LOCK: Final = Lock()


class RateLimitStore(Protocol):
    """Keeps the rate limit of accounts for several processes.

    Pass one as `rate_limit`. `SharedRateLimit` is one for the processes of a host, `PostgresRateLimit` for
    those of several. Implement it to share a limit in another way; `Pace` has the arithmetic.

    Attributes:
        limit: The limit of all processes together.
        processes: How many processes share it at most. While the store cannot be reached, each of them
            keeps to its share of the limit.
    """

    limit: RateLimit
    processes: int

    async def reserve(self, account: str, places: int, *, priority: Priority) -> Reservation:
        """Reserve up to `places` places for requests of an account.

        Places of all processes together are spaced evenly, one every `limit.seconds / limit.requests`. A
        place that is not used is lost.

        Args:
            account: The account's URL, without credentials.
            places: How many are wanted.
            priority: "interactive" for requests that somebody waits for, "bulk" for others, which get no
                place as long as interactive requests use all.

        Raises:
            RateLimitStoreError: The store cannot be used now.
        """
        ...

    async def pause(self, account: str, seconds: float) -> None:
        """Give out no place of an account for so many seconds, to no process, since Plivo has sent a 429.

        Raises:
            RateLimitStoreError: The store cannot be used now.
        """
        ...


class SharedWindow:
    """Hands out places that were reserved from a store; used like a `SlidingWindow`.

    All times are monotonic seconds of this process.
    """

    def __init__(
        self, store: RateLimitStore, account: str, clock: Callable[[], float] = CLOCK.monotonic
    ) -> None:
        self.limit: RateLimit | None = None  # none that this process could know
        self.paused_until: float = 0.0
        self._store = store
        self._account = account
        self._clock = clock
        self._places: deque[float] = deque()
        self._lock = Lock()
        self._gap = store.limit.seconds / store.limit.requests
        self._retry_store_at = -math.inf
        self._is_lost = False

    def reserve(self, now: float) -> float:
        """Take a place and return `now`; if none is due, return when one is, or infinity if there is none."""
        with self._lock:
            if now < self.paused_until:
                return self.paused_until
            while self._places and self._places[0] < now - _LATENESS:
                self._places.popleft()
            if not self._places:
                return math.inf
            if self._places[0] > now:
                return self._places[0]
            self._places.popleft()
            return now

    async def find(self, now: float, *, wanted: int, priority: Priority) -> float:
        """Take a place and return 0, or return in how many seconds to try again.

        Places are reserved from the store when there are none left, as many as `wanted`.
        """
        free = self.reserve(now)
        retry_after = 0.0
        if free == math.inf:
            waits, retry_after = await self._ask(now, wanted, priority)
            now = self._clock()  # a place must not be used before its time, so count from the answer
            with self._lock:
                self._places = deque(sorted([*self._places, *(now + wait for wait in waits)]))
            free = self.reserve(now)
        if free == math.inf:  # there was none, or another loop has taken it meanwhile
            return max(retry_after, _SHORTEST_WAIT)
        return free - now

    def is_stale(self, reserved: float, now: float) -> bool:
        """Whether a place that was taken is too old to be used."""
        return now - reserved > _LATENESS

    async def _ask(self, now: float, wanted: int, priority: Priority) -> tuple[tuple[float, ...], float]:
        if now >= self._retry_store_at:
            try:
                async with asyncio.timeout(_LONGEST_ANSWER):
                    found = await self._store.reserve(self._account, wanted, priority=priority)
                answer = found.waits, found.retry_after
            except Exception as error:  # noqa: BLE001 - a store of the caller's may raise anything
                self._lose(error)
            else:
                self._recover()
                return answer
        gap = self._gap * self._store.processes
        with _OWN_LOCK:
            pace = _OWN_PACES.get(self._account, Pace())
            _OWN_PACES[self._account], own = pace.reserve(now, 1, gap=gap, priority=priority)
        return own.waits, own.retry_after

    def _lose(self, error: Exception) -> None:
        self._retry_store_at = self._clock() + _RETRY_STORE
        if not self._is_lost:
            self._is_lost = True
            share, seconds = self._store.limit.requests / self._store.processes, self._store.limit.seconds
            text = "the shared rate limit cannot be used (%s): until it can, at most %g requests in %g s"
            logger.warning(text, str(error) or type(error).__name__, share, seconds)

    def _recover(self) -> None:
        if self._is_lost:
            self._is_lost = False
            logger.warning("the shared rate limit can be used again")

    def settle(self, left: float | None) -> None:
        """See `SlidingWindow`; here a place is used up from the moment it is taken."""

    def pause(self, until: float) -> None:
        """Give out no place before `until` in this process; `announce_pause` tells the others."""
        with self._lock:
            self.paused_until = max(self.paused_until, until)

    async def announce_pause(self) -> None:
        """Make the pause apply to all processes."""
        seconds = self.paused_until - self._clock()
        try:
            async with asyncio.timeout(_LONGEST_ANSWER):
                await self._store.pause(self._account, seconds)
        except Exception as error:  # noqa: BLE001 - a store of the caller's may raise anything
            self._lose(error)

    def spend(self, now: float) -> None:
        """See `SlidingWindow`; here the store knows what other processes have sent."""

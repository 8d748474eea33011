"""Attempt classes and what follows from each: whether, and after how long, to try again."""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from plivo_endpoints._errors import APIError, CallError, NotFoundError, RateLimitedError, TransportError
from plivo_endpoints._sansio.messages import Attempt

if TYPE_CHECKING:
    from plivo_endpoints._sansio.operation import Operation

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class AttemptClass(StrEnum):
    """How an attempt ended; the table atop this folder says what follows."""

    NOT_SENT = "not sent"
    REFUSED = "refused"
    THROTTLED = "throttled"
    DONE = "done"
    AMBIGUOUS = "ambiguous"


def classify(error: CallError) -> AttemptClass:
    """Return the class of an attempt that ended in `error`; what is not proven harmless is ambiguous."""
    if isinstance(error, TransportError) and error.sent == "no":
        return AttemptClass.NOT_SENT
    if isinstance(error, RateLimitedError):
        return AttemptClass.THROTTLED
    if isinstance(error, APIError) and _is_refusal(error.status):
        return AttemptClass.REFUSED
    return AttemptClass.AMBIGUOUS


def _is_refusal(status: int) -> bool:
    # 408 is a server that gave up waiting for a request it may have read.
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and (
        status != HTTPStatus.REQUEST_TIMEOUT
    )


@define
class RetryBudget:
    """What all calls of a client together may spend on retries: a full outage empties it, success refills it.

    The AWS SDKs' token bucket: without it every client of a struggling server triples its load.
    """

    capacity: float = 500.0
    tokens: float = 500.0

    def spend(self, cost: float) -> bool:
        """Take `cost` tokens if there are as many."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def refill(self) -> None:
        """Give a token back for a call that succeeded at once."""
        self.tokens = min(self.capacity, self.tokens + 1)


@frozen
class RetryPolicy:
    """How long to wait and what a retry costs; times in seconds, costs in budget tokens."""

    transient_base: float = 0.05
    throttled_base: float = 1.0
    cap: float = 20.0
    longest_pause: float = 120.0
    transient_cost: float = 14.0
    throttled_cost: float = 5.0

    def backoff(self, base: float, tries: int, chance: float) -> float:
        """Return full jitter: a `chance` (0 to 1) of the exponential step; clients must not march in step."""
        return chance * min(self.cap, base * 2.0 ** min(tries - 1, 16))


@define
class Retries:
    """What one call has been through so far."""

    policy: RetryPolicy
    budget: RetryBudget
    max_attempts: int
    attempt: Attempt = field(init=False)  # the one under way, or the last
    doubt: CallError | None = None  # how the last attempt ended that may have been carried out all the same
    begun: int = 0
    _throttled: int = 0
    _replays: int = 0

    def begin(self) -> Attempt:
        """Start the notes of the next attempt."""
        if self.begun:
            self._replays += self.attempt.replays
        self.begun += 1
        self.attempt = Attempt()
        return self.attempt

    @property
    def attempts(self) -> int:
        """How often the call was tried; an attempt that still waits for the rate limit is none yet."""
        return self.begun + self._replays + self.attempt.replays - (self.attempt.phase == "rate limit")

    def next_delay(
        self, operation: Operation[Any], error: CallError, chance: float
    ) -> tuple[AttemptClass, float | None]:
        """Say how the attempt ended, and how many seconds to wait before the next, `None` for no more."""
        kind = classify(error)
        if kind is AttemptClass.THROTTLED:
            self._throttled += 1
            return kind, self._pause(error, chance)
        if kind is AttemptClass.AMBIGUOUS:
            self.doubt = error
        may_repeat = kind is AttemptClass.NOT_SENT or (
            kind is AttemptClass.AMBIGUOUS and operation.repeatable
        )
        counted = self.begun - self._throttled
        if not may_repeat or counted >= self.max_attempts:
            return kind, None
        if kind is AttemptClass.AMBIGUOUS and not self.budget.spend(self.policy.transient_cost):
            return kind, None
        return kind, self.policy.backoff(self.policy.transient_base, counted, chance)

    def is_done_after_all(self, operation: Operation[Any], error: CallError) -> bool:
        """Whether a DELETE finds nothing because an earlier try of it may have worked."""
        doubt = self.attempt.replays > 0 or self.doubt is not None
        return doubt and operation.method == "DELETE" and isinstance(error, NotFoundError)

    def _pause(self, error: CallError, chance: float) -> float | None:
        asked = error.retry_after if isinstance(error, RateLimitedError) else None
        if asked is not None and asked > self.policy.longest_pause:
            return None
        if not self.budget.spend(self.policy.throttled_cost):
            return None
        if asked:  # zero asks for nothing, and a server that means it would be hammered
            return asked
        return self.policy.backoff(self.policy.throttled_base, self._throttled, chance)


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; `None` for what is neither seconds nor a date.

    `now` is in epoch seconds. RFC 9110, section 10.2.3; fractions, which some proxies send, are read too.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" parses as naive: a time in UTC whose zone is not told.
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(0.0, moment.timestamp() - now)

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

from plivo_endpoints._errors import (
    APIError,
    CallError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from plivo_endpoints._sansio.messages import Attempt

if TYPE_CHECKING:
    from plivo_endpoints._errors import Phase
    from plivo_endpoints._sansio.messages import Operation

_MAYBE_DONE: Final = frozenset({HTTPStatus.SEE_OTHER, HTTPStatus.REQUEST_TIMEOUT})
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
    # 303 says where to read the result of what was done; 408 is a server that gave up waiting for a request
    # it may have read.
    return (
        HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _MAYBE_DONE
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

    def pause(self, asked: float | None, tries: int, chance: float) -> float:
        """Return how long everyone waits after a server asked for it.

        What is asked for is bounded, and below a second no less than the backoff: a server that says zero, or
        next to nothing, each time would be hammered.
        """
        if asked is not None and asked >= self.throttled_base:
            return min(asked, self.longest_pause)
        return max(asked or 0.0, self.backoff(self.throttled_base, tries, chance))


@frozen
class Verdict:
    """What follows from a failed attempt.

    Attributes:
        kind: How the attempt ended.
        pause: Seconds for which no call of the client may send, whatever becomes of this one.
        delay: Seconds until the next attempt of this call, `None` for no more.
    """

    kind: AttemptClass
    pause: float
    delay: float | None


@define
class RetryHistory:
    """What one call has been through so far."""

    policy: RetryPolicy
    budget: RetryBudget
    max_attempts: int
    attempt: Attempt = field(init=False)  # the one under way, or the last
    doubt: CallError | None = None  # how the last attempt ended that may have been carried out all the same
    begun: int = 0
    result: object = None  # of the attempt that succeeded
    _throttled: int = 0
    _replays: int = 0
    _waited: float = 0.0

    def begin(self) -> Attempt:
        """Start the notes of the next attempt."""
        if self.begun:
            self._replays += self.attempt.replays
            self._waited += self.attempt.waited
        self.begun += 1
        self.attempt = Attempt(self.begun + self._replays)
        return self.attempt

    @property
    def attempts(self) -> int:
        """How often the call was tried; an attempt that still waits for the rate limit is none yet."""
        if not self.begun:
            return 0
        return self.begun + self._replays + self.attempt.replays - (self.attempt.phase == "rate limit")

    @property
    def waited(self) -> float:
        """Seconds that the attempts waited before they started."""
        return self._waited + self.attempt.waited if self.begun else 0.0

    @property
    def phase(self) -> Phase | None:
        """Where the last attempt is, or was when it ended."""
        return self.attempt.phase if self.begun else None

    def judge(self, operation: Operation[Any], error: CallError, chance: float) -> Verdict:
        """Say how the attempt ended, and what follows for this call and for all others."""
        kind = classify(error)
        if kind is AttemptClass.THROTTLED:
            self._throttled += 1
        elif kind is AttemptClass.AMBIGUOUS:
            self.doubt = error
        asked = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
        pause = 0.0
        if kind is AttemptClass.THROTTLED or asked is not None:
            pause = self.policy.pause(asked, self._throttled or self.begun, chance)
        if (asked is not None and asked > self.policy.longest_pause) or not self._may_go_on(operation, kind):
            return Verdict(kind, pause, None)
        if kind is AttemptClass.THROTTLED:
            return Verdict(kind, pause, 0.0)
        backoff = self.policy.backoff(self.policy.transient_base, self._counted, chance)
        return Verdict(kind, pause, backoff)

    def _may_go_on(self, operation: Operation[Any], kind: AttemptClass) -> bool:
        if kind is AttemptClass.THROTTLED:
            return self.budget.spend(self.policy.throttled_cost)
        if self._counted >= self.max_attempts:
            return False
        if kind is AttemptClass.AMBIGUOUS:
            return operation.repeatable and self.budget.spend(self.policy.transient_cost)
        return kind is AttemptClass.NOT_SENT

    @property
    def _counted(self) -> int:
        """Attempts that count against `max_attempts`: a throttled one does not, the timeout bounds those."""
        return self.begun - self._throttled

    def is_done_after_all(self, operation: Operation[Any], error: CallError) -> bool:
        """Whether a DELETE finds nothing because an earlier try of it may have worked."""
        doubt = self.attempt.replays > 0 or self.doubt is not None
        return doubt and operation.method == "DELETE" and isinstance(error, NotFoundError)


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

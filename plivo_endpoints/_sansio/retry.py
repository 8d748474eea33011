"""Attempt classes, and whether and when each is retried."""

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
    """How an attempt ended; the docstring of this package says what follows."""

    NOT_SENT = "not sent"
    REFUSED = "refused"
    THROTTLED = "throttled"
    DONE = "done"
    AMBIGUOUS = "ambiguous"


def classify(error: CallError) -> AttemptClass:
    """Return the class of an attempt that raised `error`; what is not provably harmless is ambiguous."""
    if isinstance(error, TransportError) and error.sent == "no":
        return AttemptClass.NOT_SENT
    if isinstance(error, RateLimitedError):
        return AttemptClass.THROTTLED
    if isinstance(error, APIError) and _is_refusal(error.status):
        return AttemptClass.REFUSED
    return AttemptClass.AMBIGUOUS


def _is_refusal(status: int) -> bool:
    # 303 says where to read the result of what was done. A server that sends 408 may have read the request.
    return (
        HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _MAYBE_DONE
    )


@define
class RetryBudget:
    """Limits the retries of all calls of a client: a full outage empties it, success refills it.

    It is the token bucket of the AWS SDKs: without it, every client of a struggling server triples its load.
    """

    capacity: float = 500.0
    tokens: float = 500.0

    def spend(self, cost: float) -> bool:
        """Take `cost` tokens, if there are enough; return whether there were."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def refill(self) -> None:
        """Add a token for a call that succeeded at the first attempt."""
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
        """Return exponential backoff with full jitter; `chance` is a random number from 0 to 1."""
        return chance * min(self.cap, base * 2.0 ** min(tries - 1, 16))

    def pause(self, asked: float | None, tries: int, chance: float) -> float:
        """Return how long all calls pause after a 429 or a Retry-After of `asked` seconds.

        Long pauses are capped. Below a second, the pause is at least the backoff: otherwise a server that
        always sends zero, or close to it, would be hammered.
        """
        if asked is not None and asked >= self.throttled_base:
            return min(asked, self.longest_pause)
        return max(asked or 0.0, self.backoff(self.throttled_base, tries, chance))


@frozen
class Verdict:
    """What follows from a failed attempt.

    Attributes:
        kind: How the attempt ended.
        pause: Seconds during which no call of the client may send.
        delay: Seconds until the next attempt of this call; `None` if there is none.
    """

    kind: AttemptClass
    pause: float
    delay: float | None


@define
class RetryHistory:
    """The attempts of one call so far."""

    policy: RetryPolicy
    budget: RetryBudget
    max_attempts: int
    attempt: Attempt = field(init=False)  # the current one, or the last
    ambiguous_error: CallError | None = None  # of the last attempt that may have been carried out
    begun: int = 0
    result: object = None  # of the attempt that succeeded
    _throttled: int = 0
    _replays: int = 0
    _waited: float = 0.0

    def begin(self) -> Attempt:
        """Return the state of the next attempt."""
        if self.begun:
            self._replays += self.attempt.replays
            self._waited += self.attempt.waited
        self.begun += 1
        self.attempt = Attempt(self.begun + self._replays)
        return self.attempt

    @property
    def attempts(self) -> int:
        """Number of attempts made, without one that still waits for the rate limit."""
        if not self.begun:
            return 0
        return self.begun + self._replays + self.attempt.replays - (self.attempt.phase == "rate limit")

    @property
    def waited(self) -> float:
        """Seconds that the attempts waited before they started."""
        return self._waited + self.attempt.waited if self.begun else 0.0

    @property
    def phase(self) -> Phase | None:
        """The phase of the current or last attempt."""
        return self.attempt.phase if self.begun else None

    def judge(self, operation: Operation[Any], error: CallError, chance: float) -> Verdict:
        """Classify a failed attempt, and return what follows for this call and for all others."""
        kind = classify(error)
        if kind is AttemptClass.THROTTLED:
            self._throttled += 1
        elif kind is AttemptClass.AMBIGUOUS:
            self.ambiguous_error = error
        asked = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
        pause = 0.0
        if kind is AttemptClass.THROTTLED or asked is not None:
            pause = self.policy.pause(asked, self._throttled or self.begun, chance)
        if (asked is not None and asked > self.policy.longest_pause) or not self._may_retry(operation, kind):
            return Verdict(kind, pause, None)
        if kind is AttemptClass.THROTTLED:
            return Verdict(kind, pause, 0.0)
        backoff = self.policy.backoff(self.policy.transient_base, self._counted, chance)
        return Verdict(kind, pause, backoff)

    def _may_retry(self, operation: Operation[Any], kind: AttemptClass) -> bool:
        if kind is AttemptClass.THROTTLED:
            return self.budget.spend(self.policy.throttled_cost)
        if self._counted >= self.max_attempts:
            return False
        if kind is AttemptClass.AMBIGUOUS:
            return operation.repeatable and self.budget.spend(self.policy.transient_cost)
        return kind is AttemptClass.NOT_SENT

    @property
    def _counted(self) -> int:
        """Attempts that count against `max_attempts`; throttled ones do not, as the timeout limits them."""
        return self.begun - self._throttled

    def succeeded_earlier(self, operation: Operation[Any], error: CallError) -> bool:
        """Whether a DELETE found nothing because an earlier attempt may have deleted it."""
        may_have_deleted = self.attempt.replays > 0 or self.ambiguous_error is not None
        return may_have_deleted and operation.method == "DELETE" and isinstance(error, NotFoundError)


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds in a Retry-After header; `None` if it is neither seconds nor a date.

    `now` is in epoch seconds. See RFC 9110, section 10.2.3; fractions, which some proxies send, are read too.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" parses as naive: UTC, with an unknown local zone.
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(0.0, moment.timestamp() - now)

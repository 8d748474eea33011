"""The policies between a call and the transport: rate limit, retries, timeout and pauses."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._deadlines import Deadlines
from plivo_endpoints._errors import (
    AmbiguousOutcomeError,
    CallError,
    RequestTimeoutError,
    ResponseDecodeError,
)
from plivo_endpoints._request_models import RequestModel
from plivo_endpoints._sansio.codec import parse_response
from plivo_endpoints._sansio.messages import Attempt, Request, Response
from plivo_endpoints._sansio.retry import AttemptClass, RetryBudget, RetryHistory, RetryPolicy, classify

if TYPE_CHECKING:
    from plivo_endpoints._config import Priority
    from plivo_endpoints._events import Observer
    from plivo_endpoints._sansio.messages import Call
    from plivo_endpoints._sansio.rate_limit import SlidingWindow
    from plivo_endpoints._shared_window import SharedWindow

T = TypeVar("T")

Send = Callable[[Request, Attempt], Awaitable[Response]]
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

_STANDSTILL: Final = 0.05  # seconds until a bulk attempt looks again whether interactive ones still wait
_SHARE_TO_SEND: Final = 0.5  # of the timeout, within which a non-repeatable request must be sent


class RateLimited:
    """Lets attempts through when the window has a place for them, interactive ones first.

    They wait for one of the `connections` here and not in the pool, so that a 429 in the meantime delays them
    too. If the wait would be too long for the call, it fails at once.
    """

    def __init__(
        self,
        send: Send,
        window: SlidingWindow | SharedWindow,
        observer: Observer,
        *,
        connections: int,
        clock: Clock = CLOCK.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._send = send
        self._window = window
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        # Interactive attempts wait in one queue, bulk ones in another that stands still meanwhile.
        self._turns: dict[Priority, asyncio.Lock] = {"interactive": asyncio.Lock(), "bulk": asyncio.Lock()}
        self._waiting: Counter[Priority] = Counter()
        self._under_way = asyncio.Semaphore(connections)

    async def send(self, request: Request, attempt: Attempt) -> Response:
        """Send the request once the rate limit allows it."""
        arrived = now = self._clock()
        try:
            is_queued = self._waiting["interactive"] or self._waiting[attempt.priority]
            if is_queued or self._window.reserve(now) > now:
                now = await self._wait_for_place(attempt)
            try:
                await self._under_way.acquire()
                try:
                    reserved, now = now, self._clock()
                    if self._window.paused_until > now:
                        now = await self._wait_for_pause(attempt)
                    if self._window.is_stale(reserved, now):
                        now = await self._wait_for_place(attempt)
                    attempt.started_at, attempt.waited = now, now - arrived
                    self._observer.attempt_started(request, attempt)
                    return await self._send(request, attempt)
                finally:
                    self._under_way.release()
            finally:
                self._window.settle((attempt.left_at or self._clock()) if attempt.sent else None)
        finally:
            if attempt.started_at is None:
                attempt.waited = self._clock() - arrived

    async def _wait_for_place(self, attempt: Attempt) -> float:
        attempt.phase = "rate limit"
        self._waiting[attempt.priority] += 1
        try:
            async with self._turns[attempt.priority]:
                while seconds := await self._find_place(attempt.priority):
                    await self._wait(seconds, attempt)
        finally:
            self._waiting[attempt.priority] -= 1
        attempt.phase = "connect"
        return self._clock()

    async def _find_place(self, priority: Priority) -> float:
        if priority == "bulk" and self._waiting["interactive"]:
            return _STANDSTILL
        wanted = self._waiting[priority]
        return await self._window.find(self._clock(), wanted=wanted, priority=priority)

    async def _wait_for_pause(self, attempt: Attempt) -> float:
        attempt.phase = "rate limit"
        while (resume := self._window.paused_until) > (now := self._clock()):
            await self._wait(resume - now, attempt)
        attempt.phase = "connect"
        return now

    async def _wait(self, seconds: float, attempt: Attempt) -> None:
        if self._clock() + seconds >= attempt.send_by:
            raise TimeoutError
        await self._sleep(seconds)


class RetryLoop:
    """Executes calls, with retries as the attempt classes allow, within the call's timeout."""

    def __init__(
        self,
        send: Send,
        *,
        window: SlidingWindow | SharedWindow,
        budget: RetryBudget,
        observer: Observer,
        policy: RetryPolicy,
        clock: Clock = CLOCK.monotonic,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._send = send
        self._window = window
        self._budget = budget
        self._observer = observer
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._deadlines = Deadlines()

    async def execute(self, call: Call[T]) -> T:
        """Execute a call and return its result."""
        history = RetryHistory(self._policy, self._budget, call.options.max_attempts)
        started = self._clock()
        try:
            self._observer.call_started(call.request)
            with self._deadlines.after(call.options.timeout):
                result = await self._attempts(call, history, started)
        except TimeoutError:
            failure: CallError = _timed_out(call, history)
        except CallError as error:
            failure = error
            failure.attempts = history.attempts
        except BaseException as interrupt:
            self._attach_outcome(interrupt, call, history)
            self._report_end(call, history, interrupt, started)
            raise
        else:
            self._report_end(call, history, None, started)
            return result
        finally:
            history.ambiguous_error = None  # its traceback refers to this frame: avoid a cycle
        self._report_end(call, history, failure, started)
        try:
            raise failure  # outside `except`, so that its context is no exception that holds a request
        finally:
            del failure  # its traceback refers to this frame: avoid a cycle

    def _report_end(
        self, call: Call[Any], history: RetryHistory, error: BaseException | None, started: float
    ) -> None:
        try:
            self._observer.call_finished(call.request, history, error, self._clock() - started)
        except BaseException as interrupt:
            if error is None:
                self._attach_outcome(interrupt, call, history)
            else:
                interrupt.__cause__ = error if isinstance(error, CallError) else error.__cause__
            raise

    def _attach_outcome(self, interrupt: BaseException, call: Call[Any], history: RetryHistory) -> None:
        """Make the unknown outcome of a request that must not be repeated the cause of an interrupt."""
        if not history.begun or call.operation.repeatable:
            return
        if history.attempt.is_doubtful:
            unknown = _outcome_unknown(call, history, _interruption(interrupt))
            interrupt.__cause__ = unknown
            self._observer.outcome_unknown(unknown)

    def close(self) -> None:
        """Cancel the timer of the timeouts once the last call has ended."""
        self._deadlines.close()

    async def _attempts(self, call: Call[T], history: RetryHistory, started: float) -> T:
        # A create that is sent late has little time for its response, and if that comes too late, the outcome
        # is unknown. So the response gets as much time as sending may take.
        share = 1.0 if call.operation.repeatable else _SHARE_TO_SEND
        send_by = started + share * call.options.timeout
        while True:
            try:
                return await self._attempt(call, history, send_by)
            except CallError as error:
                failure = error
            verdict = await self._judge(call, history, failure, send_by)
            del failure  # its traceback refers to this frame: avoid a cycle
            if verdict is None:
                return cast("T", None)
            if isinstance(verdict, CallError):
                try:
                    raise verdict
                finally:
                    del verdict
            if verdict:
                await self._sleep(verdict)

    async def _judge(
        self, call: Call[T], history: RetryHistory, failure: CallError, send_by: float
    ) -> CallError | float | None:
        """Return the error to raise, or the seconds until the next attempt; `None` if the call succeeded."""
        if history.succeeded_earlier(call.operation, failure):
            return None
        verdict = history.judge(call.operation, failure, self._chance())
        now = self._clock()
        if verdict.pause:
            self._window.pause(now + verdict.pause)  # for all calls: the quota is the account's
            await self._window.announce_pause()
        if verdict.delay is None or now + max(verdict.pause, verdict.delay) >= send_by:
            return _final(call, history, verdict.kind, failure)
        return 0.0 if verdict.pause else verdict.delay  # the rate limit makes the next attempt wait

    async def _attempt(self, call: Call[T], history: RetryHistory, send_by: float) -> T:
        attempt = history.begin()
        attempt.send_by, attempt.before_send = send_by, call.before_send
        attempt.must_not_repeat, attempt.priority = not call.operation.repeatable, call.options.priority
        outcome: str = "cancelled"
        try:
            response = await self._send(call.request, attempt)
            result = parse_response(call.operation, response, call.secrets)
            outcome = AttemptClass.DONE
            if attempt.must_not_repeat:
                history.result = result
        except CallError as error:
            outcome = classify(error)
            attempt.is_harmless = outcome is not AttemptClass.AMBIGUOUS
            raise
        else:
            if history.begun == 1:
                self._budget.refill()
            return result
        finally:
            if attempt.started_at is not None:
                seconds = self._clock() - attempt.started_at
                self._observer.attempt_finished(call.request, history, outcome, seconds)


def _final(call: Call[Any], history: RetryHistory, kind: AttemptClass, failure: CallError) -> CallError:
    if kind is AttemptClass.AMBIGUOUS and not call.operation.repeatable:
        return _outcome_unknown(call, history, str(failure), failure)
    if kind is AttemptClass.NOT_SENT and history.ambiguous_error is not None:
        return history.ambiguous_error  # the last attempt was not sent, but an earlier one may have succeeded
    return failure


def _interruption(interrupt: BaseException) -> str:
    if isinstance(interrupt, asyncio.CancelledError):
        return "the call was cancelled"
    return f"interrupted by {type(interrupt).__name__}"


def _timed_out(call: Call[Any], history: RetryHistory) -> CallError:
    attempt, timeout = history.attempt, call.options.timeout
    if attempt.is_doubtful and not call.operation.repeatable:
        return _outcome_unknown(call, history, f"no response within {timeout:g} s")
    return RequestTimeoutError(
        timeout=timeout,
        phase=attempt.phase,
        method=call.request.method,
        path=call.request.path,
        sent="unknown" if attempt.is_doubtful or history.ambiguous_error else "no",
        attempts=history.attempts,
    )


def _outcome_unknown(
    call: Call[Any], history: RetryHistory, reason: str, failure: CallError | None = None
) -> AmbiguousOutcomeError:
    attempt = history.attempt
    known = failure if isinstance(failure, ResponseDecodeError) else history.result
    return (call.argument or RequestModel()).outcome_unknown(
        method=call.request.method,
        path=call.request.path,
        endpoint_id=getattr(known, "endpoint_id", None),
        sent_at=datetime.fromtimestamp(attempt.sent_at, UTC),
        sent_monotonic=attempt.sent_monotonic,
        status=attempt.status,
        api_id=getattr(failure, "api_id", None),
        reason=reason,
        attempts=history.attempts,
    )

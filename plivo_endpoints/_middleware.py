"""The policies between a call and the transport: rate limit, retries, the one timeout, every pause."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from plivo_endpoints._deadlines import Deadlines
from plivo_endpoints._errors import (
    AmbiguousOutcomeError,
    APIError,
    CallError,
    RequestTimeoutError,
    ResponseDecodeError,
)
from plivo_endpoints._requests import RequestModel
from plivo_endpoints._sansio.codec import parse_response
from plivo_endpoints._sansio.messages import Attempt, Request, Response
from plivo_endpoints._sansio.retry import AttemptClass, Retries, RetryBudget, RetryPolicy, classify

if TYPE_CHECKING:
    from plivo_endpoints._events import Observer
    from plivo_endpoints._sansio.call import Call
    from plivo_endpoints._sansio.rate_limit import SlidingWindow

T = TypeVar("T")

Send = Callable[[Request, Attempt], Awaitable[Response]]
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


def rate_limited(
    send: Send,
    window: SlidingWindow,
    *,
    connections: int,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> Send:
    """Let an attempt through when the window has a place for it, in the order they came.

    Who then waits for one of the `connections` waits here and not in the pool: a 429 meanwhile is for all.
    A wait that would end too late for the call is not begun.
    """
    turns = asyncio.Lock()
    under_way = asyncio.Semaphore(connections)

    async def wait(free: float, now: float, attempt: Attempt) -> None:
        if free >= attempt.deadline:
            raise TimeoutError
        await sleep(free - now)

    async def limited(request: Request, attempt: Attempt) -> Response:
        now = clock()
        if turns.locked() or window.reserve(now) > now:
            attempt.phase = "rate limit"
            async with turns:
                while (free := window.reserve(now := clock())) > now:
                    await wait(free, now, attempt)
            attempt.phase = "connect"
        try:
            await under_way.acquire()
            try:
                while (resume := window.paused_until) > (now := clock()):
                    attempt.phase = "rate limit"
                    await wait(resume, now, attempt)
                    attempt.phase = "connect"
                return await send(request, attempt)
            finally:
                under_way.release()
        finally:
            window.settle((attempt.left_at or clock()) if attempt.sent else None)

    return limited


class Retrying:
    """Executes calls: attempt after attempt, as the attempt classes say, within the call's one timeout."""

    def __init__(
        self,
        send: Send,
        *,
        window: SlidingWindow,
        budget: RetryBudget,
        observer: Observer,
        policy: RetryPolicy,
        clock: Clock = time.monotonic,
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
        """Carry out a call and return its result."""
        history = Retries(self._policy, self._budget, call.options.max_attempts)
        started = self._clock()
        try:
            with self._deadlines.after(call.options.timeout):
                result = await self._attempts(call, history, started + call.options.timeout)
        except TimeoutError:
            failure: CallError = _timed_out(call, history)
        except CallError as error:
            failure = error
            failure.attempts = history.attempts
        except BaseException as interrupt:
            if history.attempt.sent and not call.operation.repeatable:
                interrupt.__cause__ = _outcome_unknown(call, history, _name(interrupt))
            self._observer.call_finished(call.request, history, interrupt, self._clock() - started)
            raise
        else:
            self._observer.call_finished(call.request, history, None, self._clock() - started)
            return result
        finally:
            history.doubt = None  # its traceback holds this frame: do not make a cycle
        self._observer.call_finished(call.request, history, failure, self._clock() - started)
        try:
            raise failure  # out here, so that no exception that holds a request hangs on it
        finally:
            del failure  # likewise

    def close(self) -> None:
        """Leave no timer behind."""
        self._deadlines.close()

    async def _attempts(self, call: Call[T], history: Retries, deadline: float) -> T:
        while True:
            try:
                return await self._attempt(call, history, deadline)
            except CallError as error:
                failure = error
            verdict = self._judge(call, history, failure, deadline)
            del failure  # likewise
            if verdict is None:
                return cast("T", None)
            if isinstance(verdict, CallError):
                try:
                    raise verdict
                finally:
                    del verdict
            if verdict:
                await self._sleep(verdict)

    def _judge(
        self, call: Call[T], history: Retries, failure: CallError, deadline: float
    ) -> CallError | float | None:
        """Return what to raise, or the seconds to wait before the next attempt; `None` if all is done."""
        if history.is_done_after_all(call.operation, failure):
            return None
        kind, delay = history.next_delay(call.operation, failure, self._chance())
        if kind is AttemptClass.THROTTLED and delay is not None:
            self._window.pause(self._clock() + delay)  # everyone's: the quota is the account's
        if delay is None or self._clock() + delay >= deadline:
            return _final(call, history, kind, failure)
        return 0.0 if kind is AttemptClass.THROTTLED else delay

    async def _attempt(self, call: Call[T], history: Retries, deadline: float) -> T:
        attempt = history.begin()
        attempt.deadline, attempt.before_send = deadline, call.before_send
        started = self._clock()
        outcome: str = "cancelled"
        try:
            response = await self._send(call.request, attempt)
            result = parse_response(call.operation, response, call.secrets)
            outcome = AttemptClass.DONE
        except CallError as error:
            outcome = classify(error)
            raise
        else:
            if history.begun == 1:
                self._budget.refill()
            return result
        finally:
            self._observer.attempt_finished(call.request, history, outcome, self._clock() - started)


def _final(call: Call[Any], history: Retries, kind: AttemptClass, failure: CallError) -> CallError:
    if kind is AttemptClass.AMBIGUOUS and not call.operation.repeatable:
        return _outcome_unknown(call, history, str(failure), failure)
    if kind is AttemptClass.NOT_SENT and history.doubt is not None:
        return history.doubt  # the last attempt never left, but an earlier one may have been carried out
    return failure


def _name(interrupt: BaseException) -> str:
    if isinstance(interrupt, asyncio.CancelledError):
        return "it was cancelled"
    return f"{type(interrupt).__name__} ended it"


def _timed_out(call: Call[Any], history: Retries) -> CallError:
    attempt, timeout = history.attempt, call.options.timeout
    if attempt.sent and not call.operation.repeatable:
        return _outcome_unknown(call, history, f"no answer within {timeout:g} s")
    return RequestTimeoutError(
        timeout=timeout,
        phase=attempt.phase,
        method=call.request.method,
        path=call.request.path,
        sent="unknown" if attempt.sent or history.doubt else "no",
        attempts=history.attempts,
    )


def _outcome_unknown(
    call: Call[Any], history: Retries, reason: str, failure: CallError | None = None
) -> AmbiguousOutcomeError:
    attempt = history.attempt
    return (call.argument or RequestModel()).outcome_unknown(
        method=call.request.method,
        path=call.request.path,
        endpoint_id=failure.endpoint_id if isinstance(failure, ResponseDecodeError) else None,
        sent_at=datetime.fromtimestamp(attempt.sent_at, UTC),
        sent_monotonic=attempt.sent_monotonic,
        status=attempt.status,
        api_id=failure.api_id if isinstance(failure, APIError) else None,
        reason=reason,
        attempts=history.attempts,
    )

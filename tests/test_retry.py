"""Attempt classes and what follows from each, with no network and no clock but a counted one."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    ConnectError,
    Event,
    NotFoundError,
    OutcomeUnknownError,
    PlivoError,
    RateLimit,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._config import CallOptions
from plivo_endpoints._events import Observer
from plivo_endpoints._middleware import RateLimited, RetryLoop
from plivo_endpoints._request_models import EndpointChanges, NewEndpoint, NewToken
from plivo_endpoints._resources import endpoints, tokens
from plivo_endpoints._sansio.messages import Attempt, Call, Request, Response
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints._sansio.retry import RetryBudget, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._sansio.messages import Operation

GOOD = Response(
    200, b'{"endpoint_id": "1", "username": "alice1", "objects": [], "token": "t", "message": "m"}'
)
ARGUMENTS: dict[Operation[Any], Any] = {
    endpoints.CREATE: NewEndpoint(username="alice", password="s3cret", alias="a"),
    endpoints.UPDATE: EndpointChanges(alias="a"),
    tokens.CREATE: NewToken(iss="MA"),
    endpoints.GET: None,
    endpoints.LIST: None,
    endpoints.DELETE: None,
}
REPEATABLE = [endpoints.UPDATE, endpoints.GET, endpoints.LIST, endpoints.DELETE, tokens.CREATE]


def not_sent(_attempt: Attempt) -> Response:
    """Fail before anything left."""
    raise ConnectError("refused", method="GET", path="p")


def lost(attempt: Attempt) -> Response:
    """Lose the answer."""
    attempt.sent, attempt.sent_at = True, 1000.0
    raise TransportError("reset", method="GET", path="p", sent="unknown")


def answers(status: int, body: bytes = b"{}", retry_after: float | None = None) -> Step:
    """Answer."""

    def step(attempt: Attempt) -> Response:
        attempt.sent, attempt.sent_at, attempt.status = True, 1000.0, status
        return Response(status, body, retry_after=retry_after)

    return step


def good(attempt: Attempt) -> Response:
    """Answer well."""
    return answers(200, GOOD.body)(attempt)


if TYPE_CHECKING:
    Step = Callable[[Attempt], Response]


@define
class Rig:
    """The policies over a scripted transport, with a clock that sleeping moves."""

    steps: list[Step]
    chance: float = 1.0
    budget: RetryBudget = field(factory=RetryBudget)
    window: SlidingWindow = field(factory=lambda: SlidingWindow(None))
    now: float = 0.0
    sends: int = 0
    pauses: list[float] = field(factory=list[float])
    events: list[Event] = field(factory=list[Event])

    async def send(self, _request: Request, attempt: Attempt) -> Response:
        """Play the next step, and the last one for ever."""
        step = self.steps[min(self.sends, len(self.steps) - 1)]
        self.sends += 1
        return step(attempt)

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def call(self, operation: Operation[Any], *, timeout: float = 30.0, max_attempts: int = 3) -> Any:  # noqa: ASYNC109
        """Execute one call."""
        retrying = RetryLoop(
            RateLimited(
                self.send,
                self.window,
                Observer(self.events.append, "https://h"),
                connections=100,
                clock=lambda: self.now,
                sleep=self.sleep,
            ).send,
            window=self.window,
            budget=self.budget,
            observer=Observer(self.events.append, "https://h"),
            policy=RetryPolicy(),
            clock=lambda: self.now,
            sleep=self.sleep,
            chance=lambda: self.chance,
        )
        request = Request(operation.method, "https://h/", operation.path, operation.name)
        options = CallOptions(timeout=timeout, max_attempts=max_attempts)
        return await retrying.execute(Call(operation, request, ARGUMENTS[operation], options))

    @property
    def outcomes(self) -> list[str]:
        """How the attempts ended."""
        return [event.outcome for event in self.events if isinstance(event, AttemptFinished)]


AMBIGUOUS: list[Step] = [
    lost,
    answers(408),
    answers(500),
    answers(503),
    answers(200, b"<html>"),
    answers(200, b""),
    answers(101),
    answers(303),
]


@pytest.mark.parametrize("step", AMBIGUOUS)
async def test_an_ambiguous_create_is_never_sent_again(step: Step) -> None:
    """The rule this library exists for."""
    rig = Rig([step, good])
    with pytest.raises(OutcomeUnknownError) as unknown:
        await rig.call(endpoints.CREATE)
    assert (1, 1, "alice", "a") == (
        rig.sends,
        unknown.value.attempts,
        unknown.value.username,
        unknown.value.alias,
    )
    assert datetime.fromtimestamp(1000, UTC) == unknown.value.sent_at
    assert unknown.value.__context__ is None


async def test_an_unknown_outcome_tells_what_was_readable() -> None:
    """The id and the status, where they came."""
    with pytest.raises(OutcomeUnknownError) as unknown:
        await Rig([answers(201, b'{"endpoint_id": "77"}')]).call(endpoints.CREATE)
    assert ("77", 201) == (unknown.value.endpoint_id, unknown.value.status)


@pytest.mark.parametrize("operation", REPEATABLE)
@pytest.mark.parametrize("step", AMBIGUOUS)
async def test_what_may_be_repeated_is(operation: Operation[Any], step: Step) -> None:
    """Up to three attempts, and the third may succeed; a deletion needs no body to."""
    rig = Rig([step, step, good])
    await rig.call(operation)
    done_at_once = operation is endpoints.DELETE and step in AMBIGUOUS[4:6]
    assert (1 if done_at_once else 3) == rig.sends


@pytest.mark.parametrize("operation", REPEATABLE)
async def test_three_attempts_are_the_most(operation: Operation[Any]) -> None:
    """Then the last error is raised, and counts them."""
    rig = Rig([answers(500)])
    with pytest.raises(ServerError) as error:
        await rig.call(operation)
    assert (3, 3) == (rig.sends, error.value.attempts)


@pytest.mark.parametrize("operation", list(ARGUMENTS))
async def test_what_never_left_is_tried_again(operation: Operation[Any]) -> None:
    """Any operation, the create included, and at no cost to the budget."""
    rig = Rig([not_sent, not_sent, good])
    await rig.call(operation)
    assert (3, 500.0, ["not sent", "not sent", "done"]) == (rig.sends, rig.budget.tokens, rig.outcomes)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 409, 418, 422])
@pytest.mark.parametrize("operation", list(ARGUMENTS))
async def test_a_refusal_is_raised_at_once(operation: Operation[Any], status: int) -> None:
    """Plivo said no, so nothing was done and nothing is repeated."""
    rig = Rig([answers(status), good])
    with pytest.raises(PlivoError) as refused:
        await rig.call(operation)
    assert (1, ["refused"]) == (rig.sends, rig.outcomes)
    assert not isinstance(refused.value, OutcomeUnknownError)


@pytest.mark.parametrize("operation", list(ARGUMENTS))
async def test_a_429_pauses_and_is_tried_again(operation: Operation[Any]) -> None:
    """More often than there are attempts: the timeout bounds it, not their number."""
    rig = Rig([answers(429, retry_after=2.0)] * 5 + [good])
    await rig.call(operation)
    assert (6, 10.0) == (rig.sends, rig.now)


async def test_a_429_without_advice_backs_off_from_a_second() -> None:
    """Doubling, with full jitter."""
    rig = Rig([answers(429)] * 4 + [good], chance=0.5)
    await rig.call(endpoints.GET)
    assert [0.5, 1.0, 2.0, 4.0] == rig.pauses


@pytest.mark.parametrize("asked", [120.5, 3600.0, float("inf")])
async def test_too_long_a_pause_is_raised(asked: float) -> None:
    """Above two minutes the call does not wait, but nobody else sends for two minutes either."""
    rig = Rig([answers(429, retry_after=asked), good])
    with pytest.raises(RateLimitedError) as limited:
        await rig.call(endpoints.GET, timeout=10_000)
    assert (1, asked, 120.0) == (rig.sends, limited.value.retry_after, rig.window.paused_until)


async def test_a_429_pauses_everyone_when_the_budget_is_spent() -> None:
    """The call that met it raises; the others still wait."""
    rig = Rig([answers(429, retry_after=30.0)], budget=RetryBudget(tokens=0.0))
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.GET, timeout=10_000)
    assert (1, 30.0) == (rig.sends, rig.window.paused_until)


@pytest.mark.parametrize("asked", [0.0, 0.001, 0.5])
async def test_a_tiny_pause_backs_off(asked: float) -> None:
    """A server that asks for next to nothing again and again is not hammered."""
    rig = Rig([answers(429, retry_after=asked)])
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.GET)
    assert [1.0, 2.0, 4.0, 8.0] == rig.pauses


@pytest.mark.parametrize("operation", list(ARGUMENTS))
async def test_a_server_error_that_says_when_is_heeded(operation: Operation[Any]) -> None:
    """By everyone, as after a 429; what may be repeated is, when the time has come."""
    rig = Rig([answers(503, retry_after=7.0), good])
    if operation.repeatable:
        await rig.call(operation)
        assert (2, [7.0]) == (rig.sends, rig.pauses)
    else:
        with pytest.raises(OutcomeUnknownError):
            await rig.call(operation)
    assert 7.0 == rig.window.paused_until


async def test_a_server_error_that_asks_for_too_long_is_raised_at_once() -> None:
    """And says how long."""
    rig = Rig([answers(503, retry_after=31.0), good])
    with pytest.raises(ServerError) as down:
        await rig.call(endpoints.GET)
    assert (1, [], 31.0, 31.0) == (rig.sends, rig.pauses, down.value.retry_after, rig.window.paused_until)


async def test_a_create_leaves_within_half_its_timeout() -> None:
    """An answer to a later one could come too late; what may be repeated goes all the same."""
    window = SlidingWindow(RateLimit(1, 6.0))
    rig = Rig([good], window=window)
    await rig.call(endpoints.CREATE, timeout=10.0)
    with pytest.raises(RequestTimeoutError) as late:
        await rig.call(endpoints.CREATE, timeout=10.0)
    assert ("rate limit", "no", 1) == (late.value.phase, late.value.sent, rig.sends)
    await rig.call(endpoints.GET, timeout=10.0)
    await rig.call(endpoints.CREATE, timeout=13.0)
    assert (3, [6.0, 6.0]) == (rig.sends, rig.pauses)


async def test_a_create_is_not_tried_again_late() -> None:
    """A pause that ends in the second half of its timeout is not begun."""
    rig = Rig([answers(429, retry_after=16.0), good])
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.CREATE, timeout=30.0)
    assert (1, []) == (rig.sends, rig.pauses)
    rig = Rig([answers(429, retry_after=14.0), good])
    await rig.call(endpoints.CREATE, timeout=30.0)
    assert 2 == rig.sends


async def test_a_pause_beyond_the_timeout_is_not_begun() -> None:
    """The answer is the same, only sooner."""
    rig = Rig([answers(429, retry_after=31.0), good])
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.GET, timeout=30.0)
    assert (1, 0.0) == (rig.sends, rig.now)


async def test_a_pause_holds_those_who_wait_for_a_connection() -> None:
    """They had a place in the window before the 429 came, and must heed it all the same."""
    window = SlidingWindow(RateLimit(100, 5.0))
    rig = Rig([answers(429, retry_after=2.0), good], window=window)
    sent_at: list[float] = []

    async def send(request: Request, attempt: Attempt) -> Response:
        sent_at.append(rig.now)
        await asyncio.sleep(0)  # the others queue up meanwhile
        return await rig.send(request, attempt)

    async def sleep(seconds: float) -> None:
        due = rig.now + seconds
        for _ in range(50):
            await asyncio.sleep(0)  # whoever does not heed the pause goes ahead now
        rig.now = max(rig.now, due)

    retrying = RetryLoop(
        RateLimited(
            send, window, Observer(None, "https://h"), connections=1, clock=lambda: rig.now, sleep=sleep
        ).send,
        window=window,
        budget=rig.budget,
        observer=Observer(None, "https://h"),
        policy=RetryPolicy(),
        clock=lambda: rig.now,
        sleep=sleep,
    )
    options = CallOptions(timeout=30.0, max_attempts=3)
    call = Call(endpoints.GET, Request("GET", "https://h/", "p"), None, options)
    await asyncio.gather(*[retrying.execute(call) for _ in range(5)])
    assert [0.0, *[2.0] * 5] == sent_at


async def test_a_pause_that_one_call_cannot_wait_for_holds_the_others() -> None:
    """The quota is the account's, whoever was told."""
    window = SlidingWindow(None)
    rig = Rig([answers(429, retry_after=31.0), good], window=window)
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.GET, timeout=30.0)
    await rig.call(endpoints.GET, timeout=60.0)
    assert (2, 31.0) == (rig.sends, rig.now)


async def test_a_transient_fault_backs_off_from_50_ms() -> None:
    """Doubling; and a backoff that does not fit into the timeout is not begun."""
    rig = Rig([answers(503)])
    with pytest.raises(ServerError):
        await rig.call(endpoints.GET)
    assert [0.05, 0.1] == rig.pauses
    rig = Rig([answers(503)])
    with pytest.raises(ServerError):
        await rig.call(endpoints.GET, timeout=0.05)
    assert [] == rig.pauses


async def test_a_deletion_that_worked_but_whose_answer_was_lost() -> None:
    """That the second try finds nothing is the first one's success."""
    rig = Rig([lost, answers(404)])
    assert await rig.call(endpoints.DELETE) is None
    assert 2 == rig.sends


async def test_a_deletion_that_the_http_library_repeated() -> None:
    """A replay unseen by us counts as an attempt before."""

    def replayed(attempt: Attempt) -> Response:
        attempt.replays = 1
        return answers(404)(attempt)

    rig = Rig([replayed])
    assert await rig.call(endpoints.DELETE) is None


@pytest.mark.parametrize("first", [not_sent, answers(429, retry_after=1.0)])
async def test_a_deletion_that_found_nothing(first: Step) -> None:
    """After an attempt that surely did nothing, a 404 means what it says."""
    with pytest.raises(NotFoundError) as missing:
        await Rig([first, answers(404)]).call(endpoints.DELETE)
    assert 2 == missing.value.attempts


async def test_doubt_outlives_an_attempt_that_never_left() -> None:
    """The update may have been made by the first attempt, so the error must not say "never sent"."""
    with pytest.raises(TransportError) as error:
        await Rig([lost, not_sent, not_sent]).call(endpoints.UPDATE)
    assert ("unknown", 3) == (error.value.sent, error.value.attempts)


async def test_the_last_decode_error_is_told() -> None:
    """After the attempts are used up."""
    with pytest.raises(ResponseDecodeError) as error:
        await Rig([answers(200, b"<html>")]).call(endpoints.GET)
    assert 3 == error.value.attempts


async def test_the_budget_bounds_retries_over_all_calls() -> None:
    """500 tokens at 14 each are 35 retries; then every call is tried once, until successes refill it."""
    budget = RetryBudget()
    sends = 0
    for _ in range(100):
        rig = Rig([answers(500)], budget=budget)
        with pytest.raises(ServerError):
            await rig.call(endpoints.GET)
        sends += rig.sends
    assert 135 == sends
    for _ in range(14):
        await Rig([good], budget=budget).call(endpoints.GET)
    rig = Rig([answers(500), good], budget=budget)
    await rig.call(endpoints.GET)
    assert 2 == rig.sends


async def test_a_429_is_charged_too() -> None:
    """5 tokens each."""
    rig = Rig([answers(429, retry_after=1.0)])
    with pytest.raises(RateLimitedError):
        await rig.call(endpoints.GET, timeout=10_000)
    assert 101 == rig.sends


async def test_a_success_after_a_retry_refills_nothing() -> None:
    """Only a clean success is a sign of health."""
    rig = Rig([answers(500), good])
    await rig.call(endpoints.GET)
    assert 486.0 == rig.budget.tokens


async def test_max_attempts_of_one() -> None:
    """No retry, but for the pause that a 429 asks for."""
    rig = Rig([not_sent, good])
    with pytest.raises(ConnectError):
        await rig.call(endpoints.CREATE, max_attempts=1)
    rig = Rig([answers(429, retry_after=1.0), good])
    await rig.call(endpoints.CREATE, max_attempts=1)
    assert 2 == rig.sends


async def test_a_create_throttled_and_then_lost() -> None:
    """The attempts that surely did nothing do not make the last one less unknown."""
    rig = Rig([answers(429, retry_after=1.0), not_sent, lost, good])
    with pytest.raises(OutcomeUnknownError) as unknown:
        await rig.call(endpoints.CREATE)
    assert (3, 3) == (rig.sends, unknown.value.attempts)


STEPS: dict[str, Step] = {
    "not sent": not_sent,
    "lost": lost,
    "500": answers(500),
    "429": answers(429),
    "400": answers(400),
    "html": answers(200, b"<html>"),
    "good": good,
}


@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=8), st.floats(0, 1))
def test_no_script_sends_a_create_twice(names: list[str], chance: float) -> None:
    """Whatever happens in whatever order, at most one send of a create may have been carried out."""
    rig = Rig([STEPS[name] for name in names], chance=chance)
    with suppress(PlivoError):
        asyncio.run(rig.call(endpoints.CREATE))
    may_have_happened = [outcome for outcome in rig.outcomes if outcome in {"ambiguous", "done"}]
    assert len(may_have_happened) <= 1
    assert rig.outcomes[:-1] == [o for o in rig.outcomes[:-1] if o in {"not sent", "throttled"}]
    assert all(pause <= 20.0 for pause in rig.pauses)


async def test_a_timeout_says_what_ate_it() -> None:
    """And whether the request had left."""

    async def hang(_request: Request, attempt: Attempt) -> Response:
        attempt.phase, attempt.sent, attempt.sent_at = "response", True, 1000.0
        await asyncio.Event().wait()
        return GOOD

    retrying = RetryLoop(
        hang,
        window=SlidingWindow(None),
        budget=RetryBudget(),
        observer=Observer(None, "https://h"),
        policy=RetryPolicy(),
    )
    options = CallOptions(timeout=0.01, max_attempts=3)
    request = Request("GET", "https://h/", "p")
    with pytest.raises(RequestTimeoutError) as late:
        await retrying.execute(Call(endpoints.GET, request, None, options))
    assert ("response", "unknown", 0.01, 1) == (
        late.value.phase,
        late.value.sent,
        late.value.timeout,
        late.value.attempts,
    )
    with pytest.raises(OutcomeUnknownError, match=r"no response within 0\.01 s"):
        await retrying.execute(Call(endpoints.CREATE, request, ARGUMENTS[endpoints.CREATE], options))


async def test_a_timeout_in_the_queue_is_no_attempt() -> None:
    """Nothing was sent while the rate limit held the call back."""
    window = SlidingWindow(RateLimit(1, 60.0))
    window.reserve(0.0)
    rig = Rig([good], window=window)

    async def forever(_seconds: float) -> None:
        await asyncio.Event().wait()

    retrying = RetryLoop(
        RateLimited(
            rig.send, window, Observer(None, "https://h"), connections=100, clock=lambda: 0.0, sleep=forever
        ).send,
        window=window,
        budget=RetryBudget(),
        observer=Observer(None, "https://h"),
        policy=RetryPolicy(),
    )
    options = CallOptions(timeout=0.01, max_attempts=3)
    call = Call(endpoints.CREATE, Request("POST", "u", "p"), ARGUMENTS[endpoints.CREATE], options)
    with pytest.raises(RequestTimeoutError) as late:
        await retrying.execute(call)
    assert ("rate limit", "no", 0, 0) == (late.value.phase, late.value.sent, late.value.attempts, rig.sends)


async def test_a_wait_for_the_rate_limit_that_cannot_fit_is_not_begun() -> None:
    """Who has less time than that is told at once, and holds up nobody behind it."""
    rig = Rig([good], window=SlidingWindow(RateLimit(1, 60.0)))
    await rig.call(endpoints.GET)
    with pytest.raises(RequestTimeoutError, match="the rate limit leaves no time"):
        await rig.call(endpoints.GET)
    assert (rig.pauses, rig.sends) == ([], 1)
    await rig.call(endpoints.GET, timeout=61.0)
    assert (rig.pauses, rig.sends) == ([60.0], 2)


async def test_a_pause_of_the_account_that_cannot_fit_is_not_begun() -> None:
    """A 429 that met another call counts as much."""
    rig = Rig([good])
    rig.window.pause(50.0)
    with pytest.raises(RequestTimeoutError, match="the rate limit leaves no time"):
        await rig.call(endpoints.GET)
    assert (rig.pauses, rig.sends) == ([], 0)


async def test_every_call_and_attempt_is_reported() -> None:
    """Start and end of each, in order; what an attempt waited is no part of what it took."""
    rig = Rig([answers(500), answers(429, retry_after=1.0), good])
    await rig.call(endpoints.GET)
    assert isinstance(rig.events[0], CallStarted)
    which: dict[str, Any] = {
        "call": rig.events[0].call,
        "operation": "endpoints.get",
        "method": "GET",
        "path": endpoints.GET.path,
    }
    ended: dict[str, Any] = {**which, "phase": "connect", "sent": True, "seconds": 0.0}
    assert [
        CallStarted(**which, url="https://h/v1/Account/{auth_id}/Endpoint/{endpoint_id}/"),
        AttemptStarted(**which, attempt=1, waited=0.0),
        AttemptFinished(**ended, attempt=1, waited=0.0, outcome="ambiguous", status=500),
        AttemptStarted(**which, attempt=2, waited=0.0),
        AttemptFinished(**ended, attempt=2, waited=0.0, outcome="throttled", status=429),
        AttemptStarted(**which, attempt=3, waited=1.0),
        AttemptFinished(**ended, attempt=3, waited=1.0, outcome="done", status=200),
        CallFinished(
            **which,
            attempts=3,
            error=None,
            phase=None,
            outcome_unknown=False,
            waited=1.0,
            seconds=1.05,
            retry_budget=481.0,
        ),
    ] == rig.events


async def test_a_call_that_the_rate_limit_refuses_has_no_attempt() -> None:
    """It starts and ends, and says where."""
    rig = Rig([good])
    rig.window.pause(50.0)
    with pytest.raises(RequestTimeoutError):
        await rig.call(endpoints.GET)
    assert [CallStarted, CallFinished] == [type(event) for event in rig.events]
    ended = rig.events[-1]
    assert isinstance(ended, CallFinished)
    assert (0, "RequestTimeoutError", "rate limit") == (ended.attempts, ended.error, ended.phase)


@pytest.mark.parametrize(
    ("operation", "steps"),
    [
        (endpoints.GET, [answers(404)]),
        (endpoints.GET, [answers(500)]),
        (endpoints.GET, [answers(500), good]),
        (endpoints.CREATE, [lost]),
        (endpoints.CREATE, [answers(400)]),
    ],
)
async def test_a_failure_leaves_nothing_to_the_garbage_collector(
    operation: Operation[Any], steps: list[Step]
) -> None:
    """No cycle holds the request, whose body may hold a password, until that comes by."""
    gc.collect()
    gc.disable()
    try:
        with suppress(PlivoError):
            await Rig(steps).call(operation)
        assert [] == [each for each in gc.get_objects() if isinstance(each, Call)]
    finally:
        gc.enable()

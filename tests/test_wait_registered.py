"""Waiting until a phone is registered: how often Plivo is asked, until when, and what failures mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from plivo_endpoints import (
    APIError,
    AsyncClient,
    AsyncEndpoints,
    AuthenticationError,
    Client,
    ConnectError,
    Endpoint,
    NotFoundError,
    NotRegisteredError,
    PlivoError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from plivo_endpoints._resources import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._connections import Executor
    from plivo_endpoints.sandbox import Sandbox

ABSENT = Endpoint(endpoint_id="7", sip_registered=False)
UNKNOWN = Endpoint(endpoint_id="7")
PRESENT = Endpoint(endpoint_id="7", sip_registered=True)
LOST = TransportError("reset", method="GET", path="p", sent="unknown")


class Line:
    """Answers reads on a clock of its own, which only sleeping and slow answers move.

    Attributes:
        reads: When each read began.
        took: How long each takes.
    """

    def __init__(self, answer: Callable[[float], Endpoint | PlivoError], *, took: float = 0.0) -> None:
        self.now = 1000.0
        self.reads: list[float] = []
        self.took = took
        self._answer = answer

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.now += seconds

    async def execute(self, _: object, *, endpoint_id: str) -> Endpoint:
        """Answer a read."""
        assert endpoint_id == "7"
        began = self.now - 1000.0
        self.reads.append(began)
        self.now += self.took
        answer = self._answer(began)
        if isinstance(answer, PlivoError):
            raise answer
        return answer

    async def wait(self, timeout: float, monkeypatch: pytest.MonkeyPatch) -> Endpoint:  # noqa: ASYNC109 - ours
        """Wait on this clock."""
        monkeypatch.setattr(endpoints, "CLOCK", self)
        monkeypatch.setattr(endpoints, "asyncio", SimpleNamespace(sleep=self.sleep))
        return await AsyncEndpoints(cast("Executor", self)).wait_registered("7", timeout=timeout)


def refusal(kind: type[APIError], status: int) -> APIError:
    """Return an error of Plivo's."""
    return kind("no", status=status, api_id=None, method="GET", path="p")


async def test_it_reads_often_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After half a second, then ever more rarely, every five seconds at most; the registered one returns."""
    line = Line(lambda now: PRESENT if now >= 20 else ABSENT)
    assert PRESENT == await line.wait(60, monkeypatch)
    assert [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5] == line.reads


@pytest.mark.parametrize("absent", [ABSENT, UNKNOWN], ids=["not registered", "unknown"])
async def test_nobody_registers(absent: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last read begins at the deadline; the error is a `TimeoutError` that says who and how long."""
    line = Line(lambda _: absent)
    with pytest.raises(TimeoutError, match="no phone registered with endpoint 7 within 9 s") as caught:
        await line.wait(9, monkeypatch)
    assert [0, 0.5, 1.5, 3.5, 7.5, 9] == line.reads
    assert isinstance(caught.value, NotRegisteredError)
    assert ("7", 9) == (caught.value.endpoint_id, caught.value.timeout)


async def test_a_registration_at_the_deadline_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last read begins then."""
    assert PRESENT == await Line(lambda now: PRESENT if now >= 9 else ABSENT).wait(9, monkeypatch)


@pytest.mark.parametrize("answer", [ABSENT, LOST], ids=["absent", "lost"])
async def test_no_read_begins_after_the_deadline(
    answer: Endpoint | PlivoError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow one that ends after it is the last, whatever it brings."""
    slow = Line(lambda _: answer, took=8.0)
    with pytest.raises(NotRegisteredError if answer is ABSENT else TransportError):
        await slow.wait(9, monkeypatch)
    assert [0, 8.5] == slow.reads


async def test_without_time_it_reads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero seconds ask whether a phone is registered now."""
    line = Line(lambda _: ABSENT)
    with pytest.raises(NotRegisteredError):
        await line.wait(0, monkeypatch)
    assert [0] == line.reads


@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        ConnectError("refused", method="GET", path="p"),
        refusal(ServerError, 503),
        refusal(RateLimitedError, 429),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_failure_that_may_pass_ends_no_wait(
    failure: PlivoError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised only if the last read fails too: then nobody knows whether a phone is registered."""
    recovering = Line(lambda now: PRESENT if now >= 5 else failure)
    assert PRESENT == await recovering.wait(60, monkeypatch)
    down = Line(lambda _: failure)
    with pytest.raises(type(failure)) as caught:
        await down.wait(9, monkeypatch)
    assert failure is caught.value
    assert 9 == down.reads[-1]


@pytest.mark.parametrize(
    "failure",
    [refusal(NotFoundError, 404), refusal(AuthenticationError, 401)],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_failure_for_good_ends_it_at_once(failure: APIError, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted endpoint never registers, and credentials do not become right."""
    line = Line(lambda now: failure if now >= 3 else ABSENT)
    with pytest.raises(type(failure)):
        await line.wait(60, monkeypatch)
    assert [0, 0.5, 1.5, 3.5] == line.reads


async def test_a_registered_endpoint_returns_at_once(client: AsyncClient, sandbox: Sandbox) -> None:
    """With its registration, after one request."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    sandbox.register(endpoint_id)
    found = await client.endpoints.wait_registered(endpoint_id, timeout=60)
    assert (endpoint_id, True, 1) == (found.endpoint_id, found.sip_registered, len(sandbox.requests))
    assert found.sip_contact is not None


def test_the_blocking_wait(blocking_client: Client, threaded_sandbox: Sandbox) -> None:
    """It returns the same, and raises the same."""
    threaded_sandbox.seed(1)
    (endpoint_id,) = threaded_sandbox.endpoints
    with pytest.raises(NotRegisteredError):
        blocking_client.endpoints.wait_registered(endpoint_id, timeout=0)
    threaded_sandbox.register(endpoint_id)
    found = blocking_client.endpoints.wait_registered(endpoint_id, timeout=60)
    assert blocking_client.endpoints.get(endpoint_id) == found

"""One timeout bounds a call, whatever the server does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import pytest

from plivo_endpoints import AsyncClient, OutcomeUnknownError, PlivoError
from tests.faults.account import AUTH_ID, SEED, Step
from tests.faults.kinds import KINDS, Fault, instead
from tests.faults.wire import make_answer

if TYPE_CHECKING:
    from tests.faults.server import FaultServer

_BY_NAME: Final = {fault.name: fault for fault in KINDS}
SLOW: Final = (
    _BY_NAME["drip"],
    _BY_NAME["never answers"],
    _BY_NAME["headers, then silence"],
    _BY_NAME["503"],
    _BY_NAME["503 Retry-After"],
    _BY_NAME["429"],
    Fault("429 Retry-After 60", instead(make_answer(429, "Slow", Retry_After="60"))),
)


async def _time_one(fault: Fault, operation: str, server: FaultServer) -> tuple[str, float]:
    account, url = server.account()
    account.forever = Step(fault, applied=False)
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=2.0, max_attempts=1_000_000)
    async with client:
        begun = time.monotonic()
        try:
            if operation == "get":
                await client.endpoints.get(SEED)
            else:
                await client.endpoints.create(username="alice", password="s3cret", alias="desk")
        except PlivoError as error:
            return f"{fault.name}, {operation}: {type(error).__name__}", time.monotonic() - begun
    raise AssertionError("it should not have succeeded")


@pytest.mark.slow
async def test_two_seconds_are_two_seconds(faults: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    """However slow, dead or busy the server: retries, pauses and backoff included."""
    ends = await asyncio.gather(
        *(_time_one(fault, operation, faults) for fault in SLOW for operation in ("get", "create"))
    )
    with capsys.disabled():
        print("", *(f"{seconds:.3f} s  {name}" for name, seconds in ends), sep="\n")  # noqa: T201
    assert [name for name, seconds in ends if seconds >= 2.5] == []


async def test_slow_to_accept(faults: FaultServer) -> None:
    """A server that takes its time to accept is waited for, within the timeout."""
    door = faults.open_door(delay=0.3)
    account, url = faults.account(port=door.port)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=10) as client:
        made = await client.endpoints.create(username="alice", password="s3cret", alias="desk")
        assert [made.endpoint_id] == [known.endpoint_id for known in account.created]


@pytest.mark.slow
async def test_reset_on_accepting(faults: FaultServer) -> None:
    """A create whose connection is reset at once was sent or was not, but is not sent twice."""
    for _ in range(50):
        door = faults.open_door(resets=1)
        account, url = faults.account(port=door.port)
        async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
            try:
                await client.endpoints.create(username="alice", password="s3cret", alias="desk")
            except OutcomeUnknownError:
                assert account.created == []
            else:
                assert len(account.created) == 1

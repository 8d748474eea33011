"""Ctrl-C and cancellation: the call ends now, nothing is sent afterwards, and doubt is told."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from plivo_endpoints import AsyncClient, OutcomeUnknownError
from tests.faults.account import AUTH_ID, Account, Step
from tests.faults.kinds import KINDS, Fault, instead
from tests.faults.wire import make_answer
from tests.lifetime.conftest import said

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.faults.server import FaultServer

NEVER: Final = next(fault for fault in KINDS if fault.name == "never answers")
PAUSE: Final = Fault("429", instead(make_answer(429, "Slow", Retry_After="1")), status=429)

BLOCKING: Final = """
import signal, sys, time
from plivo_endpoints import Client, OutcomeUnknownError
signal.signal(signal.SIGINT, signal.default_int_handler)
client = Client(sys.argv[1], "t", base_url=sys.argv[2])
try:
    client.endpoints.create(username="alice", password="s3cret", alias="desk")
except KeyboardInterrupt as interrupt:
    print(time.monotonic(), type(interrupt.__cause__).__name__, flush=True)
    time.sleep(1.5)
"""

ASYNC: Final = """
import asyncio, signal, sys, time
from plivo_endpoints import AsyncClient, OutcomeUnknownError
signal.signal(signal.SIGINT, signal.default_int_handler)
async def main():
    async with AsyncClient(sys.argv[1], "t", base_url=sys.argv[2]) as client:
        try:
            await client.endpoints.create(username="alice", password="s3cret", alias="desk")
        except asyncio.CancelledError as cancelled:
            print(time.monotonic(), type(cancelled.__cause__).__name__, flush=True)
            time.sleep(1.5)
            raise
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
"""


def _wait_for_arrival(account: Account) -> None:
    deadline = time.monotonic() + 20
    while not account.arrivals and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(account.arrivals) == 1
    time.sleep(0.1)  # for the answer, if one comes, to be read too


@pytest.mark.slow
@pytest.mark.parametrize("source", [BLOCKING, ASYNC], ids=["blocking", "async"])
@pytest.mark.parametrize(("fault", "cause"), [(NEVER, "OutcomeUnknownError"), (PAUSE, "NoneType")])
def test_ctrl_c(
    source: str, fault: Fault, cause: str, faults: FaultServer, start: Callable[..., Popen[str]]
) -> None:
    """A create ends within 200 ms, says whether it may have happened, and is not sent behind one's back."""
    account, url = faults.account()
    account.forever = Step(fault, applied=False)
    program = start(source, AUTH_ID, url)
    _wait_for_arrival(account)
    interrupted = time.monotonic()
    program.send_signal(signal.SIGINT)
    status, out, err = said(program)
    assert (status, err.count("'alice'")) == (0, cause == "OutcomeUnknownError")  # in the log, which is here
    ended, told = out.split()
    assert told == cause
    assert float(ended) - interrupted < 0.5
    assert len(account.arrivals) == 1


async def test_a_cancelled_create_tells_its_doubt(faults: FaultServer) -> None:
    """The `CancelledError` passes through with the `OutcomeUnknownError` as its cause."""
    account, url = faults.account()
    account.forever = Step(NEVER, applied=True)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        create = client.endpoints.create(username="alice", password="s3cret", alias="desk")
        task = asyncio.create_task(create)
        await asyncio.to_thread(_wait_for_arrival, account)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    cause = caught.value.__cause__
    assert isinstance(cause, OutcomeUnknownError)
    assert (cause.username, cause.alias, cause.attempts) == ("alice", "desk", 1)
    assert abs(cause.sent_at.timestamp() - time.time()) < 20


async def test_a_create_cancelled_before_it_left(faults: FaultServer) -> None:
    """There is no doubt: it did not happen, and it has no cause."""
    account, url = faults.account()
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        create = client.endpoints.create(username="alice", password="s3cret", alias="desk")
        task = asyncio.create_task(create)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert (caught.value.__cause__, account.arrivals) == (None, [])

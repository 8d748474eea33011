"""What retries may cost, and controls: without the rules the server sees what they prevent."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints import AsyncClient, NotFoundError, OutcomeUnknownError, ServerError
from plivo_endpoints._resources import endpoints
from tests.faults.account import AUTH_ID, SEED, Step
from tests.faults.kinds import KINDS, Fault, cut
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from tests.faults.account import Account
    from tests.faults.server import FaultServer

pytestmark = pytest.mark.slow

_BY_NAME = {fault.name: fault for fault in KINDS}
_WORKERS = 50


async def _read(client: AsyncClient, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServerError):
            await client.endpoints.get(SEED)


async def _requests_per_call(client: AsyncClient, account: Account, calls: int) -> float:
    account.arrivals.clear()
    await asyncio.gather(*(_read(client, calls // _WORKERS) for _ in range(_WORKERS)))
    return len(account.arrivals) / calls


async def test_ten_thousand_reads_in_a_full_outage(
    faults: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the budget is empty a call costs one request; with the budget off, all its attempts."""
    account, url = faults.account()
    account.forever = Step(_BY_NAME["500"], applied=False)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, rate_limit=None) as client:
        emptying = await _requests_per_call(client, account, 500)
        empty = await _requests_per_call(client, account, 10_000)
        client._connections._budget.tokens = math.inf  # pyright: ignore[reportPrivateUsage]
        off = await _requests_per_call(client, account, 500)
    with capsys.disabled():
        print(f"\nrequests a call: {emptying} at first, {empty} with the budget empty, {off} with it off")  # noqa: T201
    assert empty <= 1.1
    assert off == 3.0


async def test_with_a_policy_that_repeats_creates(
    faults: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server counts the duplicates: its ground truth is no blind witness."""
    monkeypatch.setattr(endpoints, "CREATE", evolve(endpoints.CREATE, repeatable=True))
    account, url = faults.account()
    account.play([Step(_BY_NAME["RST after the body"], applied=True)] * 2)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert len(account.created) == 3


async def test_a_create_is_sent_once_however_long_the_fault_lasts(faults: FaultServer) -> None:
    """A hundred of them on one client, carried out and not, make a hundred requests."""
    account, url = faults.account()
    account.play([Step(_BY_NAME["502"], applied=bool(n % 2)) for n in range(100)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        for _ in range(100):
            with pytest.raises(OutcomeUnknownError):
                await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert (len(account.arrivals), len(account.created)) == (100, 50)


async def test_a_deletion_carried_out_and_then_dropped(faults: FaultServer) -> None:
    """That the second try finds nothing is success; to find nothing at the first is not."""
    account, url = faults.account()
    account.play([Step(Fault("dropped", cut(0, Wire.rst)), applied=True)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        await client.endpoints.delete(SEED)
        assert len(account.arrivals) == 2
        with pytest.raises(NotFoundError):
            await client.endpoints.delete(SEED)

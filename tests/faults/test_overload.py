"""More work than the rate limit lets through: who is too late is told so, and not left in doubt."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, RateLimit, RequestTimeoutError
from tests.faults.account import AUTH_ID, Step
from tests.faults.kinds import slow

if TYPE_CHECKING:
    from tests.faults.server import FaultServer


@pytest.mark.slow
async def test_three_times_the_load(faults: FaultServer) -> None:
    """At three times the pace of the limit, a server that answers in 0.3 s leaves no outcome unknown."""
    account, url = faults.account()
    account.forever = Step(slow(0.3), applied=True)
    limit = RateLimit(50, 5.0)
    ends: Counter[str] = Counter()

    async def create(client: AsyncClient, number: int) -> None:
        await asyncio.sleep(number * limit.seconds / limit.requests / 3)
        try:
            await client.endpoints.create(username="alice", password="s3cret", alias=f"desk-{number}")
        except RequestTimeoutError as late:
            ends[late.sent] += 1
        else:
            ends["made"] += 1

    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=5, rate_limit=limit) as client:
        await asyncio.gather(*[create(client, number) for number in range(450)])
    assert set(ends) == {"made", "no"}
    assert ends["made"] == len(account.created)
    assert ends["made"] > 150  # 50 in each of three windows, and a part of the fourth


async def test_a_create_that_could_only_leave_late_does_not(faults: FaultServer) -> None:
    """It waited 0.9 s of its 1.0 s, for a connection this time; the server never hears of it."""
    account, url = faults.account()
    account.forever = Step(slow(0.9), applied=True)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=5, max_connections=1) as client:
        first = asyncio.create_task(
            client.endpoints.create(username="alice", password="s3cret", alias="desk-1")
        )
        await asyncio.sleep(0.01)
        late = client.with_options(timeout=1.0)
        with pytest.raises(RequestTimeoutError) as caught:
            await late.endpoints.create(username="alice", password="s3cret", alias="desk-2")
        await first
    assert (caught.value.phase, caught.value.sent, caught.value.timeout) == ("connect", "no", 1.0)
    assert [made.alias for made in account.created] == ["desk-1"]

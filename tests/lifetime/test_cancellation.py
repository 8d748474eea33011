"""Thousands of calls cancelled at any moment leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from plivo_endpoints import AsyncClient, OutcomeUnknownError
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from tests.faults.account import AUTH_ID, SEED, Account, Step
from tests.faults.kinds import Fault

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.faults.server import FaultServer
    from tests.faults.wire import Answer, Wire


async def _hesitate(wire: Wire, answer: Answer) -> None:
    whole = answer.encode()
    for start in range(0, len(whole), 100):
        await wire.send(whole[start : start + 100])
        await asyncio.sleep(0.0005)


def _call(client: AsyncClient, number: int) -> Coroutine[object, object, object]:
    if number % 2:
        return client.endpoints.get(SEED)
    return client.endpoints.create(username="alice", password="s3cret", alias=f"desk-{number}")


async def _cancel_one(client: AsyncClient, number: int, dice: random.Random) -> str:
    task = asyncio.create_task(_call(client, number))
    for _ in range(dice.randrange(40)):
        await asyncio.sleep(0)
    if dice.random() < 0.5:
        # Most before it left: the first create on a connection listens for 30 ms.
        await asyncio.sleep(dice.random() * dice.choice((0.004, 0.004, 0.06)))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as cancelled:
        return "unknown" if isinstance(cancelled.__cause__, OutcomeUnknownError) else "cancelled"
    return "done"


def _contradictions(account: Account, ends: dict[str, str]) -> list[str]:
    """Name the creates that were made although the cancellation knew nothing of it."""
    return [made.alias for made in account.created if ends[made.alias] == "cancelled"]


@pytest.mark.slow
async def test_three_thousand_cancellations(faults: FaultServer) -> None:
    """No connection is held, no socket open, no task left, and no create made is told of as unsent."""
    account, url = faults.account()
    account.forever = Step(Fault("hesitant", _hesitate), applied=True)
    dice = random.Random(5)  # noqa: S311
    ends: dict[str, str] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as session:
        client = AsyncClient(AUTH_ID, "fault-token", base_url=url, session=session, rate_limit=None)
        for start in range(0, 3000, 20):
            batch = range(start, start + 20)
            results = await asyncio.gather(*(_cancel_one(client, number, dice) for number in batch))
            ends.update((f"desk-{number}", result) for number, result in zip(batch, results, strict=True))
        connector = session.connector
        assert connector is not None
        assert connector._acquired == set()  # pyright: ignore[reportPrivateUsage]
        assert (await client.endpoints.get(SEED)).endpoint_id == SEED
    await _wait_until_closed(faults)
    assert len(asyncio.all_tasks()) == 1
    assert set(ends.values()) == {"cancelled", "unknown", "done"}
    assert _contradictions(account, ends) == []
    # A create is sent at most once, cancelled or not.
    assert len({made.alias for made in account.created}) == len(account.created)


async def test_cancellations_leave_an_own_session_clean(faults: FaultServer) -> None:
    """After closing no socket is left on either side, and the rate limit has all its places back."""
    account, url = faults.account()
    account.forever = Step(Fault("hesitant", _hesitate), applied=True)
    dice = random.Random(6)  # noqa: S311
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, max_connections=8, timeout=20) as client:
        await asyncio.gather(*(_cancel_one(client, number, dice) for number in range(100)))
        window = client._connections._window  # pyright: ignore[reportPrivateUsage]
        assert isinstance(window, SlidingWindow)
        assert window._under_way == 0  # pyright: ignore[reportPrivateUsage]
    await _wait_until_closed(faults)
    gc.collect()  # an unclosed transport would warn here, and warnings are errors
    assert len(asyncio.all_tasks()) == 1


async def _wait_until_closed(faults: FaultServer) -> None:
    deadline = time.monotonic() + 5
    while faults.open_connections and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert faults.open_connections == 0

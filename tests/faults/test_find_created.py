"""After a create with an unknown outcome: finding what it made, if it made anything."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, Client, OutcomeUnknownError, ResponseDecodeError
from plivo_endpoints import sandbox as stand_in
from tests.faults.account import AUTH_ID, Step
from tests.faults.kinds import LANDS_LATER, Fault, cut
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox
    from tests.faults.server import FaultServer

_DROPPED = Fault("dropped", cut(0, Wire.rst))


async def _lose(client: AsyncClient) -> OutcomeUnknownError:
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    return caught.value


@pytest.mark.slow
async def test_a_create_that_lands_after_its_timeout(faults: FaultServer) -> None:
    """Two seconds late it is found, as soon as a look after that."""
    account, url = faults.account()
    account.play([Step(LANDS_LATER, applied=False)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=1.0) as client:
        lost = await _lose(client)
        found = await client.with_options(timeout=5).endpoints.find_created(
            username=lost.username, alias=lost.alias, sent_at=lost.sent_at, settle=5
        )
    assert [made.endpoint_id for made in account.created] == [endpoint.endpoint_id for endpoint in found]
    assert 2 <= account.landing[0] - lost.sent_at.timestamp() < 5


@pytest.mark.slow
async def test_an_empty_answer_waits_until_it_proves_something(faults: FaultServer) -> None:
    """It never comes before `sent_at + settle`, and the walk it rests on began after that too."""
    account, url = faults.account()
    account.play([Step(_DROPPED, applied=False)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        lost = await _lose(client)
        found = await client.endpoints.find_created(
            username="alice", alias="desk", sent_at=lost.sent_at, settle=1.5
        )
    settled = lost.sent_at.timestamp() + 1.5
    behind = time.time() - time.monotonic()
    assert found == ()
    assert time.time() >= settled
    assert account.arrivals[-1].at + behind >= settled - 0.001


def _step_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the system clock be stepped; the monotonic one goes on."""
    real, offset = time.time, 0.0

    def step(seconds: float) -> None:
        nonlocal offset
        offset = seconds

    monkeypatch.setattr(time, "time", lambda: real() + offset)
    return step


@pytest.mark.slow
@pytest.mark.parametrize("across", [False, True], ids=["during the search", "before it too"])
async def test_a_thousand_clock_steps(
    across: bool, faults: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is called absent while it can still land, and nobody waits for longer than `settle`."""
    step, chance, settle = _step_clock(monkeypatch), random.Random(11), 1.0  # noqa: S311 - the same in every run
    account, url = faults.account()
    account.seed("alice1", "unrelated", "1")
    begun = time.monotonic()
    sent_at, steps = datetime.now(UTC), 0
    if across:
        step(3600.0)

    async def find(client: AsyncClient) -> float:
        elapsed = time.monotonic() - begun if across else None
        found = await client.endpoints.find_created(
            username="alice", alias="desk", sent_at=sent_at, elapsed=elapsed, settle=settle
        )
        assert found == ()
        return time.monotonic() - begun

    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, rate_limit=None) as client:
        searches = asyncio.gather(*[find(client) for _ in range(20)])
        await asyncio.sleep(0)
        while steps < 1_000 or not searches.done():
            step(chance.choice([-1, 1]) * 10 ** chance.uniform(-2, 7))
            steps += 1
            await asyncio.sleep(0.0005)
        took = await searches
    assert steps >= 1_000
    assert min(took) >= settle
    assert max(took) < settle + 20  # the shortest step back that mattered would have cost an hour


@pytest.mark.slow
async def test_a_list_that_is_never_complete(sandbox: Sandbox) -> None:
    """It proves nothing, and nobody waits for ever: the error says so."""
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
        short = b'{"meta": {"limit": 20, "offset": 0, "next": null, "total_count": 3}, "objects": []}'
        sandbox.inject(stand_in.Fault(applied=True, status=200, body=short.decode()), rate=1.0, method="GET")
        with pytest.raises(ResponseDecodeError, match="the list was incomplete in every walk"):
            await client.endpoints.find_created(
                username="alice", alias="desk", sent_at=datetime.now(UTC), settle=0.2
            )
    assert len(sandbox.requests) >= 3


async def test_an_unknown_outcome_knows_its_age_whatever_the_clock_says(
    faults: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its process; a copy that may have come from another one does not."""
    step = _step_clock(monkeypatch)
    account, url = faults.account()
    account.play([Step(_DROPPED, applied=True)])
    before = time.monotonic()
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        lost = await _lose(client)
        step(-3600.0)
    elapsed = lost.elapsed
    assert elapsed is not None
    assert 0 <= elapsed <= time.monotonic() - before
    assert copy.copy(lost).elapsed is None


async def test_an_older_endpoint_of_the_same_name(faults: FaultServer) -> None:
    """It matches as well, and is returned with the new one; others do not match."""
    account, url = faults.account()
    for number, (username, alias) in enumerate(
        [("alice250101", "desk"), ("alice250101", "other"), ("alicex1", "desk"), ("alice", "desk")]
    ):
        account.seed(username, alias, str(number))
    account.play([Step(_DROPPED, applied=True)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        lost = await _lose(client)
        found = await client.endpoints.find_created(username="alice", alias="desk", sent_at=lost.sent_at)
    assert ["0", account.created[0].endpoint_id] == [endpoint.endpoint_id for endpoint in found]


async def test_it_looks_on_every_page(faults: FaultServer) -> None:
    """The endpoint may be the last of many."""
    account, url = faults.account()
    for number in range(100):
        account.seed(f"bob{number}", "desk", str(number))
    made = account.make("alice", "desk", applied=True)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        found = await client.endpoints.find_created(username="alice", alias="desk", sent_at=datetime.now(UTC))
    assert [made.endpoint_id] == [endpoint.endpoint_id for endpoint in found]


def test_the_blocking_twin(faults: FaultServer) -> None:
    """It finds the same."""
    account, url = faults.account()
    account.play([Step(_DROPPED, applied=True)])
    with Client(AUTH_ID, "fault-token", base_url=url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            client.endpoints.create(username="alice", password="s3cret", alias="desk")
        found = client.endpoints.find_created(username="alice", alias="desk", sent_at=caught.value.sent_at)
    assert [made.endpoint_id for made in account.created] == [endpoint.endpoint_id for endpoint in found]

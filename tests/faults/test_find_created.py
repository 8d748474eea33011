"""After a create with an unknown outcome: finding what it made, if it made anything."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, Client, OutcomeUnknownError
from tests.faults.account import AUTH_ID, Step
from tests.faults.kinds import LANDS_LATER, Fault, cut
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from tests.faults.server import FaultServer

_DROPPED = Fault("dropped", cut(0, Wire.rst))


async def _lose(client: AsyncClient) -> OutcomeUnknownError:
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    return caught.value


async def test_a_create_that_lands_after_its_timeout(faults: FaultServer) -> None:
    """Two seconds late it is found, as soon as a look after that."""
    account, url = faults.account()
    account.play([Step(LANDS_LATER, applied=False)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, timeout=0.5) as client:
        lost = await _lose(client)
        found = await client.with_options(timeout=5).endpoints.find_created(
            username=lost.username, alias=lost.alias, sent_at=lost.sent_at, settle=5
        )
    assert [made.endpoint_id for made in account.created] == [endpoint.endpoint_id for endpoint in found]
    assert 2 <= account.landing[0] - lost.sent_at.timestamp() < 2.5


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

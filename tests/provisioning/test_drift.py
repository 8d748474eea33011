"""Changes on the account, reported without a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient
from plivo_endpoints.provisioning import AsyncFleet, Row, StaleError, StateError, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


@pytest.fixture
def fleet(client: AsyncClient, tmp_path: Path) -> AsyncFleet:
    """Give the fleet whose state `applied` uses."""
    return AsyncFleet(client, tmp_path / "run.db")


async def test_no_drift(applied: Apply, rows: Rows, client: AsyncClient, fleet: AsyncFleet) -> None:
    """Endpoints that do not belong to the fleet do not matter, even with an alias of the fleet."""
    await applied(rows(3))
    await client.endpoints.create(username="somebody", password="secret", alias="row-1")
    assert await fleet.drift() == ()


async def test_drift(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, fleet: AsyncFleet
) -> None:
    """Each changed or deleted endpoint is a step; nothing is corrected or written."""
    await applied(rows(3))
    ids = {each.alias: endpoint_id for endpoint_id, each in sandbox.endpoints.items()}
    first, second = ids["row-1"], ids["row-2"]
    await client.endpoints.update(first, alias="by hand")
    await client.endpoints.delete(second)
    sent = len(sandbox.requests)
    before = await fleet.report()
    found = await fleet.drift()
    assert await fleet.drift() == found
    assert found == (
        Step(
            key="key-1",
            kind="drift",
            endpoint_id=first,
            changes={"alias": ("by hand", "row-1")},
            reason="changed on the account: alias 'row-1' -> 'by hand'",
            line=1,
        ),
        Step(
            key="key-2",
            kind="drift",
            endpoint_id=second,
            needs="recreate",
            reason=f"its endpoint {second} is gone: allow a new one with recreate",
            line=2,
        ),
    )
    assert {request.method for request in sandbox.requests[sent:]} == {"GET"}
    assert await fleet.report() == before
    await applied(rows(3), recreate=True)
    assert await fleet.drift() == ()


async def test_a_state_of_nothing(sandbox: Sandbox, fleet: AsyncFleet) -> None:
    """There is nothing to compare with the account."""
    with pytest.raises(StateError, match="no run has started with this state yet"):
        await fleet.drift()
    assert sandbox.requests == ()


async def test_a_state_of_another_account(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is refused, as all its endpoints would seem to have vanished."""
    await applied(rows(1))
    with sandbox.fresh_account() as other:
        account = AsyncClient(other.auth_id, other.auth_token, base_url=other.base_url, rate_limit=None)
        async with account as client:
            with pytest.raises(StaleError, match="the state belongs to"):
                await AsyncFleet(client, tmp_path / "run.db").drift()
        assert other.requests == ()

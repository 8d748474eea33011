"""Two processes working on one account at the same time: no key loses its endpoint."""

from __future__ import annotations

import asyncio
import shutil
from itertools import count
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import AsyncFleet, Row, StateError, _account_lock
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient

    Rows = Callable[[int], list[Row]]

ROUNDS = 4
KEYS = 12

pytestmark = pytest.mark.slow


@pytest.fixture
def on_two_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no lock tell one of the other."""
    number = count()
    monkeypatch.setattr(_account_lock, "_folder", lambda: tmp_path / f"machine-{next(number)}")


async def run(fleet: AsyncFleet, rows: list[Row]) -> bool:
    """Apply; say whether that was allowed."""
    try:
        async with fleet.apply(rows, settle=0.3):
            pass
    except StateError:
        return False
    return True


def keys_without(sandbox: Sandbox, rows: list[Row]) -> list[str]:
    """Return the keys that no endpoint is there for."""
    names = {endpoint.username[:-12] for endpoint in sandbox.endpoints.values()}
    return [row.key for row in rows if row.username not in names]


async def empty(sandbox: Sandbox, client: AsyncClient) -> None:
    """Begin the next round with an empty account."""
    sandbox.clear_faults()
    for endpoint_id in list(sandbox.endpoints):
        await client.endpoints.delete(endpoint_id)


async def test_two_runs_on_one_machine(
    client: AsyncClient, sandbox: Sandbox, rows: Rows, tmp_path: Path
) -> None:
    """One of them is refused, and each key has exactly one endpoint."""
    for number in range(ROUNDS):
        fleets = [AsyncFleet(client, tmp_path / f"{number}-{which}.db") for which in "ab"]
        worked = await asyncio.gather(*(run(fleet, rows(KEYS)) for fleet in fleets))
        assert sorted(worked) == [False, True]
        assert (len(sandbox.endpoints), keys_without(sandbox, rows(KEYS))) == (KEYS, [])
        await empty(sandbox, client)


@pytest.mark.usefixtures("on_two_machines")
@pytest.mark.parametrize("second", ["delete", "run"])
async def test_duplicates_deleted_at_once(
    client: AsyncClient, sandbox: Sandbox, rows: Rows, tmp_path: Path, second: str
) -> None:
    """From two copies of a state, or from one during a run: each key keeps its endpoint."""
    for number in range(ROUNDS):
        fleets = [AsyncFleet(client, tmp_path / f"{number}-{which}.db") for which in "ab"]
        sandbox.inject(Fault(applied=True, status=503), times=KEYS, method="POST")
        await run(fleets[0], rows(KEYS))
        kept = set(sandbox.endpoints)
        for row in rows(KEYS):
            await client.endpoints.create(username=row.username, password="secret", alias=row.alias)
        assert len((await fleets[0].audit()).duplicates) == KEYS
        shutil.copy(tmp_path / f"{number}-a.db", tmp_path / f"{number}-b.db")
        other = fleets[1].delete_duplicates() if second == "delete" else run(fleets[1], rows(KEYS))
        await asyncio.gather(fleets[0].delete_duplicates(), other)
        assert set(sandbox.endpoints) == kept
        await empty(sandbox, client)

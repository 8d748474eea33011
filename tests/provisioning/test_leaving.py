"""Leaving a run, even when cancelled repeatedly, leaves nothing running."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, RateLimit
from plivo_endpoints.provisioning import Row, SqliteState, StateError
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.provisioning import Run
    from plivo_endpoints.sandbox import Sandbox

    Rows = Callable[[int], list[Row]]


async def test_cancelled_while_it_is_left(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A second cancellation ends the grace period, and the work has ended when the block has."""
    sandbox.inject(Fault(applied=True, latency=30.0), rate=1.0, method="POST")
    runs: list[Run] = []

    async def job() -> None:
        async with apply(client, rows(5), state=tmp_path / "run.db") as run:
            runs.append(run)
            async for _ in run:
                pass

    leaving = asyncio.create_task(job())
    while not (runs and runs[0].progress.phase == "canary" and len(sandbox.requests) >= 2):
        await asyncio.sleep(0.01)
    leaving.cancel()
    while not runs[0]._stopping.is_set():
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert runs[0]._work.done()


@pytest.mark.slow
async def test_rows_that_wait_for_their_turn(rows: Rows, sandbox: Sandbox, tmp_path: Path) -> None:
    """They are not started once the run is left: only rows in progress are finished."""
    account = AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=RateLimit(200, 10.0)
    )
    async with account as client, apply(client, rows(100), state=tmp_path / "run.db", settle=1.0) as run:
        while len(sandbox.endpoints) < 10:
            await asyncio.sleep(0.01)
        run.stop()
    assert len(sandbox.endpoints) <= 12


async def test_a_state_that_is_closed(tmp_path: Path) -> None:
    """It raises, before opening and after closing, instead of waiting for a thread that does not exist."""
    state = SqliteState(tmp_path / "run.db")
    with pytest.raises(StateError, match="closed"):
        await asyncio.wait_for(state.facts(), 5.0)
    await state.open()
    await state.close()
    with pytest.raises(StateError, match="closed"):
        await asyncio.wait_for(state.facts(), 5.0)


async def test_a_state_that_is_used_again(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The same object serves runs in succession, but not two at a time; closing it twice is harmless."""
    state = SqliteState(tmp_path / "run.db")
    for status in ("created", "unchanged"):
        async with apply(client, rows(3), state=state, settle=1.0) as run:
            with pytest.raises(StateError, match="open already"):
                await state.open()
            async for _ in run:
                pass
        assert run.report.counts[status] == 3
        await state.close()
    assert len(sandbox.endpoints) == 3

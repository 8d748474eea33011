"""What a run may use: the account's quota, to the full and not beyond; and hardly any memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, RateLimit
from plivo_endpoints.sandbox import Sandbox
from tests.provisioning.fleets import apply
from tests.provisioning.measured_run import measure
from tests.provisioning.quota import most_in_a_window, share_used

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.provisioning import Row

pytestmark = pytest.mark.slow

# Plivo's 300 in 5 seconds and our 290, at the same rate in a shorter window.
QUOTA, WINDOW = 90, 1.5
LIMIT = RateLimit(87, WINDOW)


async def test_the_quota_is_used_and_not_exceeded(rows: Callable[[int], list[Row]], tmp_path: Path) -> None:
    """As the sandbox saw it, over three restarts: never more than allowed, and nearly all of it at work.

    On an idle machine 96.7%; other work takes from it, so the best of three must be 90%. `benchmarks.quota`
    does it with the real window, and kills instead of leaving.
    """
    used = 0.0
    for attempt in range(3):
        used = max(used, await _share_used(rows(800), tmp_path / f"{attempt}.db"))
        if used >= 0.95:
            break
    assert used >= 0.9


async def _share_used(source: list[Row], state: Path) -> float:
    with Sandbox() as sandbox:
        for outcomes in (60, 60, 60):
            await _live(sandbox, source, state, outcomes=outcomes)
        before = len(sandbox.requests)
        await _live(sandbox, source, state, outcomes=800)
        times = [request.at.timestamp() for request in sandbox.requests]
        creates = [r.at.timestamp() for r in sandbox.requests[before:] if r.method == "POST"]
        assert len(sandbox.endpoints) == 800
    assert most_in_a_window(times, WINDOW) <= QUOTA
    assert creates[-1] - creates[0] >= 5 * WINDOW
    return share_used([creates], QUOTA / WINDOW)


async def _live(sandbox: Sandbox, source: list[Row], state: Path, *, outcomes: int) -> None:
    async with (
        AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=LIMIT
        ) as client,
        apply(client, source, state=state, settle=0.5) as run,
    ):
        async for _ in run:
            outcomes -= 1
            if not outcomes:
                return


@pytest.mark.parametrize(("work", "count"), [("plan", 100_000), ("apply", 10_000)])
def test_memory(tmp_path: Path, work: str, count: int) -> None:
    """It does not grow with the rows; `benchmarks.provision_memory` applies 100,000."""
    assert measure(tmp_path, count, applies=work == "apply")["grown"] < 80

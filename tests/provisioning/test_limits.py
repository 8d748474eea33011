"""What a run may use: the account's quota, to the full and not beyond; and hardly any memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, RateLimit
from plivo_endpoints.provisioning import Row, apply
from plivo_endpoints.sandbox import Sandbox
from tests.provisioning.measured_run import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Plivo's 300 in 5 seconds and our 290, at the same rate in a shorter window.
QUOTA, WINDOW = 90, 1.5
LIMIT = RateLimit(87, WINDOW)


def most_in_a_window(times: Sequence[float]) -> int:
    """Return how many requests at most arrived within one window, wherever it begins."""
    begin = most = 0
    for end, time in enumerate(times):
        while times[begin] <= time - WINDOW:
            begin += 1
        most = max(most, end - begin + 1)
    return most


async def test_the_quota_is_used_and_not_exceeded(rows: Callable[[int], list[Row]], tmp_path: Path) -> None:
    """As the sandbox saw it, over three restarts: never more than allowed, and over 95% of it at work."""
    with Sandbox() as sandbox:
        for outcomes in (60, 60, 60):
            await _live(sandbox, rows(800), tmp_path / "run.db", outcomes=outcomes)
        before = len(sandbox.requests)
        await _live(sandbox, rows(800), tmp_path / "run.db", outcomes=800)
        times = [request.at.timestamp() for request in sandbox.requests]
        creates = [r.at.timestamp() for r in sandbox.requests[before:] if r.method == "POST"]
        assert len(sandbox.endpoints) == 800
    assert most_in_a_window(times) <= QUOTA
    windows = int((creates[-1] - creates[0]) / WINDOW)
    sent = len([time for time in creates if time < creates[0] + windows * WINDOW])
    assert windows >= 5
    assert sent / (windows * QUOTA) >= 0.95


async def _live(sandbox: Sandbox, source: list[Row], journal: Path, *, outcomes: int) -> None:
    async with (
        AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=LIMIT
        ) as client,
        apply(client, source, journal=journal, settle=0.5) as run,
    ):
        async for _ in run:
            outcomes -= 1
            if not outcomes:
                return


@pytest.mark.parametrize(("work", "count"), [("plan", 100_000), ("apply", 10_000)])
def test_memory(tmp_path: Path, work: str, count: int) -> None:
    """It does not grow with the rows; `benchmarks.provision_memory` applies 100,000."""
    assert measure(tmp_path, count, applies=work == "apply")["grown"] < 80

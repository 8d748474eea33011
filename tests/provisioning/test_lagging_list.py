"""A lagging list hides endpoints from the plan: the canary reveals it, and the list is walked again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from plivo_endpoints.provisioning import _phases as phases_module
from plivo_endpoints.provisioning import _run as run_module
from plivo_endpoints.provisioning._survey import compare
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Row, Run
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]

LAG = 60.0


@pytest.fixture(autouse=True)
async def theirs(client: AsyncClient, sandbox: Sandbox) -> str:
    """Make what the last of three rows can be, and let the list lag so that it does not show it."""
    sandbox.list_lag = LAG
    return (await client.endpoints.create(username="user3x", password="secret", alias="row-3")).endpoint_id


def methods(sandbox: Sandbox) -> str:
    """Return what was received, in order: P for a create, G for a page."""
    return "".join(request.method[0] for request in sandbox.requests)


async def statuses(run: Run) -> dict[str, str]:
    """Return what comes of each row."""
    return {outcome.key: outcome.status async for outcome in run}


@pytest.mark.parametrize(("is_allowed", "status"), [(False, "review"), (True, "imported")])
async def test_what_the_plan_did_not_see(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, is_allowed: bool, status: str
) -> None:
    """It is found after the canary, and not created again."""
    state = tmp_path / "run.db"
    async with apply(client, rows(3), state=state, settle=30.0, import_existing=is_allowed) as run:
        while not methods(sandbox).endswith("PGG"):  # the first look came to nothing
            await asyncio.sleep(0.01)
        sandbox.clock.move(LAG)
        assert await statuses(run) == {"key-1": "created", "key-2": "created", "key-3": status}
    assert len(sandbox.endpoints) == 3


async def test_what_is_no_rows(rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """It existed before, so it does not count as having appeared during the run."""
    async with apply(client, rows(2), state=tmp_path / "run.db", settle=30.0) as run:
        while not methods(sandbox).endswith("PGG"):
            await asyncio.sleep(0.01)
        sandbox.clock.move(LAG)
    assert (run.report.counts["created"], run.report.appeared) == (2, 0)


async def test_a_canary_whose_answer_was_lost(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It was not looked for when it was new, so it is unknown what the plan missed."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    async with apply(client, rows(3), state=tmp_path / "run.db", settle=0.5) as run:
        while run.progress.phase != "settling":
            await asyncio.sleep(0.01)
        sandbox.clock.move(LAG)
        sandbox.list_lag = 0.0
        assert await statuses(run) == {"key-1": "adopted", "key-2": "created", "key-3": "review"}
    assert len(sandbox.endpoints) == 3


async def test_a_canary_of_an_earlier_run(
    *,
    rows: Rows,
    applied: Apply,
    client: AsyncClient,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it is listed by now does not show what this run's plan missed."""
    monkeypatch.setattr(run_module, "_GRACE", 0.0)
    async with apply(client, rows(3), state=tmp_path / "run.db", settle=30.0) as run:
        async for _ in run:
            break

    async def compare_and_wait(*arguments: Any) -> None:
        await compare(*arguments)
        sandbox.clock.move(LAG)

    sandbox.list_lag = 2 * LAG
    monkeypatch.setattr(phases_module, "compare", compare_and_wait)
    sandbox.clock.move(LAG)
    ended = await applied(rows(3))
    assert {outcome.key: outcome.status for outcome in ended.outcomes} == {
        "key-2": "created",
        "key-3": "review",
    }
    assert len(sandbox.endpoints) == 3


async def test_a_list_that_does_not_lag(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It is walked once before the canary, once for the canary, and once at the end."""
    sandbox.list_lag = 0.0
    before = len(sandbox.requests)
    await applied(rows(2))
    assert methods(sandbox)[before:] == "GPGPG"

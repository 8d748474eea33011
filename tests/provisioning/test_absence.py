"""What an incomplete list cannot prove is reported with its reason, and nothing is sent for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from plivo_endpoints import AsyncEndpoints
from plivo_endpoints.provisioning import ProvisioningError, Row, _listing, _reach
from plivo_endpoints.provisioning._listing import CHANGED, NO_TOTAL, SHORT, Walk
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply, audit, plan, read_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from plivo_endpoints import AsyncClient, Endpoint, Page
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Break = Callable[..., None]
    Rows = Callable[[int], list[Row]]


@pytest.fixture
def break_lists(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Break:
    """Let every page say something else than it should: in its `meta`, or by what is deleted behind it."""
    fetch = AsyncEndpoints._fetch_page
    monkeypatch.setattr(_listing, "_PAUSES", (0.0, 0.0, 0.0))  # they will not come to rest

    def begin(*, shrinks: bool = False, **meta: Any) -> None:
        async def fetch_broken(self: AsyncEndpoints, query: Mapping[str, int | str]) -> Page[Endpoint]:
            page = await fetch(self, query)
            if shrinks:
                await client.endpoints.delete(page.objects[0].endpoint_id)
            return evolve(page, meta=evolve(page.meta, **meta))

        # In the class, as a run uses a view of the client.
        monkeypatch.setattr(AsyncEndpoints, "_fetch_page", fetch_broken)

    return begin


BREAKS = pytest.mark.parametrize(
    ("breaks", "gap"),
    [({"total_count": None}, NO_TOTAL), ({"next": None}, SHORT), ({"shrinks": True}, CHANGED)],
    ids=["no total", "no next page", "shrinks"],
)


@BREAKS
async def test_a_walk(
    client: AsyncClient, sandbox: Sandbox, break_lists: Break, breaks: dict[str, Any], gap: str
) -> None:
    """A walk reports what is wrong with the list."""
    sandbox.seed(60)
    break_lists(**breaks)
    walk = Walk(client)
    async for _ in walk.pages():
        pass
    assert walk.gap == gap


@BREAKS
async def test_a_plan(
    *,
    client: AsyncClient,
    rows: Rows,
    applied: Apply,
    sandbox: Sandbox,
    break_lists: Break,
    breaks: dict[str, Any],
    gap: str,
) -> None:
    """There is no plan and no run, as endpoints missing from the list may exist; the message says why."""
    sandbox.seed(300)
    break_lists(**breaks)
    with pytest.raises(ProvisioningError) as refused:
        await plan(client, rows(3))
    assert str(refused.value) == f"the account's endpoints could not be listed completely: {gap}"
    with pytest.raises(ProvisioningError, match="could not be listed completely"):
        await applied(rows(3))
    assert [request for request in sandbox.requests if request.method == "POST"] == []


@BREAKS
async def test_an_audit(
    *,
    client: AsyncClient,
    rows: Rows,
    applied: Apply,
    sandbox: Sandbox,
    break_lists: Break,
    tmp_path: Path,
    breaks: dict[str, Any],
    gap: str,
) -> None:
    """An incomplete audit says so, and the rows stay as they are."""
    await applied(rows(2))
    sandbox.seed(300)
    break_lists(**breaks)
    with pytest.raises(ProvisioningError) as refused:
        await audit(client, tmp_path / "run.db")
    assert str(refused.value) == f"the audit is not complete and could overlook a duplicate: {gap}"
    report = await read_report(tmp_path / "run.db")
    assert (report.counts["created"], report.audited) == (2, False)


@pytest.fixture
async def lost(
    client: AsyncClient, rows: Rows, sandbox: Sandbox, break_lists: Break, tmp_path: Path
) -> Callable[..., Awaitable[dict[str, str | None]]]:
    """Lose the first create of a run, break the list before it is looked for; tell what came of both rows."""

    async def lose(*, made: bool, **breaks: Any) -> dict[str, str | None]:
        sandbox.inject(Fault(applied=made, status=500), times=1, method="POST")
        told: dict[str, str | None] = {}
        with pytest.raises(ProvisioningError, match=r"audit is not complete|could not be listed"):
            async with apply(client, rows(2), state=tmp_path / "run.db", settle=0.3) as run:
                while run.progress.phase != "settling":
                    await asyncio.sleep(0.01)
                sandbox.seed(100)
                break_lists(**breaks)
                async for outcome in run:
                    told[f"{outcome.key} {outcome.status}"] = outcome.error
        return told

    return lose


@BREAKS
async def test_a_lost_row(
    lost: Callable[..., Awaitable[dict[str, str | None]]], *, breaks: dict[str, Any], gap: str
) -> None:
    """It is not sent again: a person has to decide, and the reason says why."""
    told = await lost(made=False, **breaks)
    assert told == {"key-1 review": f"it is unknown whether it was created: {gap}", "key-2 created": None}


async def test_a_lost_row_that_was_made(lost: Callable[..., Awaitable[dict[str, str | None]]]) -> None:
    """An endpoint that a walk met exists, whatever else it missed; the other row needs a new comparison."""
    assert await lost(made=True, total_count=None) == {"key-1 adopted": None}


@pytest.fixture
def vanish(client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Delete the last endpoint of an alias when the next walk has read the first page, which it is on."""
    monkeypatch.setattr(_reach, "PREFETCH", 0)  # so that the change falls between two pages
    sandbox.order = "oldest"
    fetch = AsyncEndpoints._fetch_page

    def begin(alias: str) -> None:
        left = [each.endpoint_id for each in sandbox.endpoints.values() if each.alias == alias][-1:]

        async def fetch_and_delete(self: AsyncEndpoints, query: Mapping[str, int | str]) -> Page[Endpoint]:
            page = await fetch(self, query)
            if left:
                await client.endpoints.delete(left.pop())
            return page

        monkeypatch.setattr(AsyncEndpoints, "_fetch_page", fetch_and_delete)

    return begin


async def test_an_endpoint_that_vanishes_during_the_audit(
    *,
    client: AsyncClient,
    rows: Rows,
    applied: Apply,
    sandbox: Sandbox,
    vanish: Callable[[str], None],
    tmp_path: Path,
) -> None:
    """That an incomplete walk met it does not count in the next walk."""
    await applied(rows(2))
    sandbox.seed(60)
    vanish("row-1")
    report = await audit(client, tmp_path / "run.db")
    assert (report.counts["review"], report.audited) == (1, True)


@pytest.mark.parametrize(("there", "status"), [(1, "created"), (2, "imported")], ids=["own", "duplicate"])
async def test_an_endpoint_that_vanishes_during_the_plan(
    *,
    client: AsyncClient,
    rows: Rows,
    applied: Apply,
    sandbox: Sandbox,
    vanish: Callable[[str], None],
    there: int,
    status: str,
) -> None:
    """Its row is created again; if it was one of two matches, the other one is the row's without conflict."""
    for number in (2, *[1] * there):
        await client.endpoints.create(username=f"user{number}x", password="secret", alias=f"row-{number}")
    sandbox.seed(60)
    vanish("row-1")
    ended = await applied(rows(2), import_existing=True)
    told = {each.key: (each.status, each.error) for each in ended.outcomes}
    assert told == {"key-1": (status, None), "key-2": ("imported", None)}


async def test_a_text_that_no_file_can_hold(
    rows: Rows, applied: Apply, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a surrogate pair in somebody else's alias does no harm, as no row can request it."""
    sandbox.seed(1)
    fetch = AsyncEndpoints._fetch_page

    async def fetch_odd(self: AsyncEndpoints, query: Mapping[str, int | str]) -> Page[Endpoint]:
        page = await fetch(self, query)
        odd = [evolve(each, alias=f"{each.alias}\ud800") for each in page.objects if each.alias == "seeded-1"]
        return evolve(page, objects=(*odd, *(each for each in page.objects if each.alias != "seeded-1")))

    monkeypatch.setattr(AsyncEndpoints, "_fetch_page", fetch_odd)
    assert (await applied(rows(3))).report.exit_status == 0
    assert len(sandbox.endpoints) == 4

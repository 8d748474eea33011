"""Endpoints that appear during a run and belong to no row: counted and reported, but no error."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints.provisioning import _phases as phases_module
from plivo_endpoints.provisioning._audit import audit_account
from plivo_endpoints.provisioning._reconcile import reconcile
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.provisioning._strangers import IdSet
from plivo_endpoints.provisioning._survey import compare
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import audit, read_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from click.testing import Result

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Row
    from plivo_endpoints.provisioning._audit import Audit
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]
    Make = Callable[..., None]
    Run = Callable[..., Result]


@pytest.fixture
def appearing(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Have endpoints made, by username and alias, right after the walk that a run begins with."""

    def plan_to_make(*endpoints: tuple[str, str]) -> None:
        async def compare_then_make(client: AsyncClient, *arguments: Any) -> None:
            await compare(client, *arguments)
            monkeypatch.setattr(phases_module, "compare", compare)
            await make(client, endpoints)

        monkeypatch.setattr(phases_module, "compare", compare_then_make)

    return plan_to_make


async def make(client: AsyncClient, endpoints: Iterable[tuple[str, str]]) -> None:
    """Make endpoints as a colleague would."""
    for username, alias in endpoints:
        await client.endpoints.create(username=username, password="secret", alias=alias)


async def test_what_a_colleague_makes(
    applied: Apply, rows: Rows, client: AsyncClient, appearing: Make, tmp_path: Path
) -> None:
    """It is counted if it appeared during the run, until the next run, and is no error."""
    await make(client, [("before", "theirs")])
    appearing(("during", "theirs"), ("user1x", "with the name of a row"))
    report = (await applied(rows(2))).report
    assert (report.appeared, report.counts["created"], report.exit_status) == (2, 2, ExitStatus.DONE)
    assert await read_report(tmp_path / "run.db") == report
    assert (await applied(rows(2))).report.appeared == 0


async def test_more_than_a_page(applied: Apply, rows: Rows, appearing: Make) -> None:
    """Pages overlap, and each is counted once."""
    appearing(*[(f"during{number}", "theirs") for number in range(50)])
    assert (await applied(rows(1))).report.appeared == 50


async def test_what_was_there_is_not_known(
    applied: Apply, rows: Rows, client: AsyncClient, appearing: Make, tmp_path: Path
) -> None:
    """A run with nothing to compare walks the list once and counts none. An audit keeps the number."""
    await make(client, [("before", "theirs")])
    assert (await applied([])).report.appeared == 0
    appearing(("during", "theirs"))
    assert (await applied(rows(1))).report.appeared == 1
    assert (await audit(client, tmp_path / "run.db")).appeared == 1


async def test_what_the_run_makes_itself(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Created, adopted, replaced or imported, it belongs to a row."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    first = await applied(rows(2))
    await make(client, [("user3x", "row-3")])
    renamed = [evolve(rows(1)[0], username="renamed"), *rows(4)[1:]]
    second = await applied(renamed, replace=True, import_existing=True)
    assert {outcome.key: outcome.status for outcome in (*first.outcomes, *second.outcomes)} == {
        "key-1": "replaced",
        "key-2": "unchanged",
        "key-3": "imported",
        "key-4": "created",
    }
    assert first.report.counts["adopted"] == 1
    assert (first.report.appeared, second.report.appeared) == (0, 0)


async def test_a_duplicate(applied: Apply, rows: Rows, appearing: Make) -> None:
    """It is reported as a duplicate, and not twice."""
    appearing(("user1x", "row-1"))
    report = (await applied(rows(2))).report
    assert (len(report.duplicates), report.appeared) == (1, 0)


async def test_what_may_be_a_row_that_waits_for_a_person(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost create that got another alias is reported with its row."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")

    async def edit_then_reconcile(*arguments: Any) -> None:
        await client.endpoints.update(max(sandbox.endpoints), alias="edited")
        await reconcile(*arguments)

    monkeypatch.setattr(phases_module, "reconcile", edit_then_reconcile)
    report = (await applied(rows(1))).report
    assert (report.counts["review"], report.appeared) == (1, 0)


async def test_a_rows_endpoint_with_another_alias_by_now(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still belongs to the row, and is reported with it."""

    async def edit_then_audit(*arguments: Any) -> Audit:
        await client.endpoints.update(max(sandbox.endpoints), alias="edited")
        return await audit_account(*arguments)

    monkeypatch.setattr(phases_module, "audit_account", edit_then_audit)
    report = (await applied(rows(1))).report
    assert (report.counts["review"], report.appeared) == (1, 0)


@pytest.mark.parametrize(
    ("count", "what"),
    [(1, "1 endpoint that belongs to no row appeared"), (2, "2 endpoints that belong to no row appeared")],
)
@pytest.mark.usefixtures("account")
def test_what_is_told(run: Run, appearing: Make, tmp_path: Path, count: int, what: str) -> None:
    """One sentence, also later; a number in the JSON document; and exit status 0."""
    (tmp_path / "users.csv").write_text("username,alias,password\nuser1x,row-1,secret-1\n")
    appearing(*[(f"during{number}", "theirs") for number in range(count)])
    words = (
        f"{what} on the account during the run. This is not an error: a colleague or another program may "
        f"have created {'it' if count == 1 else 'them'}.\n"
    )
    applied, status = run("apply", "users.csv"), run("status")
    assert (applied.exit_code, applied.stderr.endswith(words)) == (0, True)
    assert (status.exit_code, status.stderr) == (0, words)
    assert json.loads(run("status", "--json").stdout)["appeared"] == count


@given(st.sets(st.text()), st.sets(st.text()))
def test_a_set_of_ids(some: set[str], others: set[str]) -> None:
    """It contains what was added to it, and knows its size."""
    ids = IdSet()
    for each in (some, others, some):
        ids.update(each)
    assert len(ids) == len(some | others)
    assert all(id_ in ids for id_ in some | others)
    assert not any(f"{id_}+" in ids for id_ in some | others if f"{id_}+" not in some | others)


@pytest.mark.slow
def test_the_memory_of_a_set_of_ids() -> None:
    """A million ids fit into 10 MB."""
    tracemalloc.start()
    try:
        ids = IdSet()
        ids.update(str(number) for number in range(100_000))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(ids), size < 1_200_000) == (100_000, True)

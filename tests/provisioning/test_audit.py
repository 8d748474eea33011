"""What the audit finds, and that deleting doubles never takes a row's only endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import BadRequestError
from plivo_endpoints.provisioning import (
    JournalError,
    Row,
    SourceError,
    apply,
    audit,
    prune,
    read_credentials,
    read_report,
)
from plivo_endpoints.provisioning import _run as run_module
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


def ids_of(sandbox: Sandbox, alias: str) -> set[str]:
    """Return the endpoints with an alias."""
    return {endpoint_id for endpoint_id, each in sandbox.endpoints.items() if each.alias == alias}


@pytest.fixture
async def doubled(applied: Apply, rows: Rows, client: AsyncClient) -> tuple[str, str]:
    """Make two rows and a double of the first; return its own endpoint and the double."""
    ended = await applied(rows(2))
    (own,) = [each.endpoint_id for each in ended.outcomes if each.key == "key-1"]
    double = await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    return own or "", double.endpoint_id


@pytest.mark.parametrize("is_audited_again", [False, True])
async def test_a_double_that_became_the_only_one(
    doubled: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, is_audited_again: bool
) -> None:
    """Where the row's own endpoint was deleted by hand, the double is no double any more: a person looks."""
    own, double = doubled
    journal = tmp_path / "run.db"
    assert [each.endpoint_id for each in (await audit(client, journal)).doubles] == [double]
    await client.endpoints.delete(own)
    if is_audited_again:
        report = await audit(client, journal)
        assert (report.doubles, report.counts["review"]) == ((), 1)
    assert await prune(client, journal) == ()
    assert ids_of(sandbox, "row-1") == {double}


async def test_a_double_of_an_endpoint_with_another_alias_now(
    doubled: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The row's own endpoint serves somebody else since the audit, so the double stays."""
    own, double = doubled
    await audit(client, tmp_path / "run.db")
    await client.endpoints.update(own, alias="somebody-else")
    assert await prune(client, tmp_path / "run.db") == ()
    assert ids_of(sandbox, "row-1") == {double}


async def test_a_double_beside_its_row(
    doubled: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It goes, and the row's own endpoint stays."""
    own, double = doubled
    await audit(client, tmp_path / "run.db")
    assert [each.endpoint_id for each in await prune(client, tmp_path / "run.db")] == [double]
    assert ids_of(sandbox, "row-1") == {own}


async def test_a_double_that_cannot_be_deleted(
    doubled: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It stays in the report, and those deleted before it do not."""
    _, first = doubled
    second = await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    doubles = (await audit(client, tmp_path / "run.db")).doubles
    deleted, kept = [each.endpoint_id for each in doubles]
    assert {deleted, kept} == {first, second.endpoint_id}
    sandbox.inject(Fault(applied=False, status=400), rate=1.0, method="DELETE", path=f"Endpoint/{kept}/")
    with pytest.raises(BadRequestError):
        await prune(client, tmp_path / "run.db")
    assert [each.endpoint_id for each in (await read_report(tmp_path / "run.db")).doubles] == [kept]
    assert deleted not in sandbox.endpoints


async def test_a_journal_of_a_run_that_never_began(
    applied: Apply, rows: Rows, client: AsyncClient, tmp_path: Path
) -> None:
    """There is nothing to compare it with, and no password to tell."""
    with pytest.raises(SourceError):
        await applied([*rows(1), *rows(1)])
    for call in (
        audit(client, tmp_path / "run.db"),
        prune(client, tmp_path / "run.db"),
        anext(read_credentials(tmp_path / "run.db", rows(1))),
    ):
        with pytest.raises(JournalError, match="no run has begun"):
            await call


async def test_a_row_that_failed_and_was_made_all_the_same(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its endpoint is the only one, so a person decides, and nothing is deleted."""
    sandbox.inject(Fault(applied=True, status=400), times=1, method="POST")
    ended = await applied(rows(2))
    assert (ended.report.doubles, ended.report.counts["review"], ended.report.counts["failed"]) == ((), 1, 0)
    await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    assert await prune(client, tmp_path / "run.db") == ()
    assert len(ids_of(sandbox, "row-1")) == 2


async def test_a_failed_row_with_two_matches(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Both are named to the person who decides."""
    sandbox.inject(Fault(applied=False, status=400), times=1, method="POST")
    await applied(rows(2))
    for _ in range(2):
        await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    report = await audit(client, tmp_path / "run.db")
    assert (report.doubles, report.counts["review"], report.counts["failed"]) == ((), 1, 0)


async def test_an_audit_that_rows_came_after(
    rows: Rows, applied: Apply, client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing about them: a run that goes on is not audited until its own end."""
    journal = tmp_path / "run.db"
    async with apply(client, rows(30), journal=journal, concurrency=1) as run:
        async for _ in run:
            break
    assert (await audit(client, journal)).audited

    async def fail(*_: object) -> None:
        raise JournalError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "examine_account", fail)
        with pytest.raises(JournalError):
            await applied(rows(30))
    report = await read_report(journal)
    assert (report.counts["created"], report.audited) == (30, False)
    await prune(client, journal)
    assert not (await read_report(journal)).audited
    assert (await applied(rows(30))).report.audited

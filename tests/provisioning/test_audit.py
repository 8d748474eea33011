"""What the audit finds, and that deleting duplicates never takes a row's only endpoint."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints import BadRequestError
from plivo_endpoints.provisioning import (
    Duplicate,
    Entry,
    Row,
    RowState,
    SourceError,
    Spec,
    StateError,
)
from plivo_endpoints.provisioning import _phases as phases_module
from plivo_endpoints.provisioning._audit import is_kept
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply, audit, prune, read_credentials, read_report

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
async def duplicated(applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox) -> tuple[str, str]:
    """Make two rows, the first lost once, and a duplicate of that; return its own endpoint and that one."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    ended = await applied(rows(2))
    (own,) = [each.endpoint_id for each in ended.outcomes if each.key == "key-1"]
    duplicate = await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    return own or "", duplicate.endpoint_id


@pytest.mark.parametrize("is_audited_again", [False, True])
async def test_a_duplicate_that_became_the_only_one(
    duplicated: tuple[str, str],
    client: AsyncClient,
    sandbox: Sandbox,
    tmp_path: Path,
    *,
    is_audited_again: bool,
) -> None:
    """If the row's own endpoint was deleted by hand, the other is no longer a duplicate: a person decides."""
    own, duplicate = duplicated
    state = tmp_path / "run.db"
    assert [each.endpoint_id for each in (await audit(client, state)).duplicates] == [duplicate]
    await client.endpoints.delete(own)
    if is_audited_again:
        report = await audit(client, state)
        assert (report.duplicates, report.counts["review"]) == ((), 1)
    assert await prune(client, state) == ()
    assert ids_of(sandbox, "row-1") == {duplicate}


async def test_a_duplicate_of_an_endpoint_with_another_alias_now(
    duplicated: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The row's own endpoint was changed since the audit, so the duplicate stays."""
    own, duplicate = duplicated
    await audit(client, tmp_path / "run.db")
    await client.endpoints.update(own, alias="somebody-else")
    assert await prune(client, tmp_path / "run.db") == ()
    assert ids_of(sandbox, "row-1") == {duplicate}


async def test_a_duplicate_beside_its_row(
    duplicated: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The duplicate is deleted, and the row's own endpoint stays."""
    own, duplicate = duplicated
    await audit(client, tmp_path / "run.db")
    assert [each.endpoint_id for each in await prune(client, tmp_path / "run.db")] == [duplicate]
    assert ids_of(sandbox, "row-1") == {own}


async def test_an_endpoint_of_another_name(
    applied: Apply, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """`ext12` with its digits is `ext1` with one digit too many: a colleague's, even with that alias."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    await applied([Row(key="one", username="ext1", alias="Sales", password="secret")])
    colleagues = await client.endpoints.create(username="ext12", password="secret", alias="Sales")
    assert (await audit(client, tmp_path / "run.db")).duplicates == ()
    assert await prune(client, tmp_path / "run.db") == ()
    assert colleagues.endpoint_id in sandbox.endpoints


async def test_an_endpoint_of_another_name_beside_a_lost_create(
    client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is neither adopted nor ignored: its origin is unknown, so a person decides."""
    sandbox.inject(Fault(applied=False, status=503), times=1, method="POST")
    source = [Row(key="one", username="ext1", alias="Sales", password="secret")]
    async with apply(client, source, state=tmp_path / "run.db", settle=1.0) as run:
        while run.progress.phase != "settling":
            await asyncio.sleep(0.01)
        await client.endpoints.create(username="ext12", password="secret", alias="Sales")
        (outcome,) = [outcome async for outcome in run]
    assert outcome.status == "review"
    assert "which does not quite match the request" in (outcome.error or "")
    assert len(sandbox.endpoints) == 1


async def test_an_endpoint_of_another_name_before_the_run(
    applied: Apply, client: AsyncClient, sandbox: Sandbox
) -> None:
    """The plan does not match `ext34` to `ext3`, even if it may import."""
    theirs = await client.endpoints.create(username="ext34", password="secret", alias="Sales")
    three = [Row(key="three", username="ext3", alias="Sales", password="secret")]
    (outcome,) = (await applied(three, import_existing=True)).outcomes
    assert (outcome.status, outcome.endpoint_id) == ("created", max(sandbox.endpoints))
    assert outcome.endpoint_id != theirs.endpoint_id


@given(st.sets(st.text("0123456789ab", min_size=1), min_size=2, max_size=2))
def test_two_runs_of_which_each_holds_the_others_duplicate(ids: set[str]) -> None:
    """One of the two endpoints stays: the two runs together cannot delete both."""
    kept = [
        is_kept(
            Entry(
                number=1,
                line=1,
                key="k",
                wanted=Spec(username="u", alias="a"),
                state=RowState.ADOPTED,
                lost=1,
                endpoint_id=own,
            ),
            Duplicate(key="k", endpoint_id=other, username="u1", alias="a", kept=own, deletable=True),
        )
        for own, other in permutations(ids)
    ]
    assert sorted(kept) == [False, True]


async def test_a_duplicate_that_cannot_be_deleted(
    duplicated: tuple[str, str], client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It stays in the report, and those deleted before it do not."""
    _, first = duplicated
    second = await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    duplicates = (await audit(client, tmp_path / "run.db")).duplicates
    deleted, kept = [each.endpoint_id for each in duplicates]
    assert {deleted, kept} == {first, second.endpoint_id}
    sandbox.inject(Fault(applied=False, status=400), rate=1.0, method="DELETE", path=f"Endpoint/{kept}/")
    with pytest.raises(BadRequestError):
        await prune(client, tmp_path / "run.db")
    assert [each.endpoint_id for each in (await read_report(tmp_path / "run.db")).duplicates] == [kept]
    assert deleted not in sandbox.endpoints


async def test_a_state_of_a_run_that_never_began(
    applied: Apply, rows: Rows, client: AsyncClient, tmp_path: Path
) -> None:
    """There is nothing to compare it with, and there are no passwords."""
    with pytest.raises(SourceError):
        await applied([*rows(1), *rows(1)])
    for call in (
        audit(client, tmp_path / "run.db"),
        prune(client, tmp_path / "run.db"),
        anext(read_credentials(tmp_path / "run.db", rows(1))),
    ):
        with pytest.raises(StateError, match="no run has started"):
            await call


async def test_a_row_that_failed_and_was_made_all_the_same(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its endpoint is the only one, so a person decides, and nothing is deleted."""
    sandbox.inject(Fault(applied=True, status=400), times=1, method="POST")
    ended = await applied(rows(2))
    assert (ended.report.duplicates, ended.report.counts["review"], ended.report.counts["failed"]) == (
        (),
        1,
        0,
    )
    await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    assert await prune(client, tmp_path / "run.db") == ()
    assert len(ids_of(sandbox, "row-1")) == 2


async def test_a_failed_row_with_two_matches(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The reason names both."""
    sandbox.inject(Fault(applied=False, status=400), times=1, method="POST")
    await applied(rows(2))
    for _ in range(2):
        await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    report = await audit(client, tmp_path / "run.db")
    assert (report.duplicates, report.counts["review"], report.counts["failed"]) == ((), 1, 0)


async def test_an_audit_that_rows_came_after(
    rows: Rows, applied: Apply, client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier audit does not cover them: a resumed run is not audited until its own end."""
    state = tmp_path / "run.db"
    async with apply(client, rows(30), state=state, concurrency=1) as run:
        async for _ in run:
            break
    assert (await audit(client, state)).audited

    async def fail(*_: object) -> None:
        raise StateError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(phases_module, "audit_account", fail)
        with pytest.raises(StateError):
            await applied(rows(30))
    report = await read_report(state)
    assert (report.counts["created"], report.audited) == (30, False)
    await prune(client, state)
    assert not (await read_report(state)).audited
    assert (await applied(rows(30))).report.audited

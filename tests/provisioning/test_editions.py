"""A source that is edited from one run to the next: rows are known again by their keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints.provisioning import Row, StaleError, apply, audit, plan, read_report
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


def creates(sandbox: Sandbox) -> int:
    """Return how many creates were sent."""
    return sum(
        request.method == "POST" and request.path.endswith("Endpoint/") for request in sandbox.requests
    )


def aliases(sandbox: Sandbox) -> dict[str, str]:
    """Return the aliases of the account's endpoints, by id."""
    return {endpoint_id: endpoint.alias for endpoint_id, endpoint in sandbox.endpoints.items()}


def statuses(ended: Ended) -> dict[str, str]:
    """Return what came of the rows that this run finished, by key."""
    return {outcome.key: outcome.status for outcome in ended.outcomes}


async def test_an_edited_alias(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is an update of the endpoint that the row has, not a second one, and the plan says so."""
    await applied(rows(3))
    before = aliases(sandbox)
    edited = [evolve(rows(3)[0], alias="front desk"), *rows(3)[1:]]
    planned = await plan(client, edited, journal=tmp_path / "run.db")
    assert (planned.create, planned.update, planned.unchanged) == ((), ("key-1",), ("key-2", "key-3"))
    assert aliases(sandbox) == before
    ended = await applied(edited)
    assert statuses(ended) == {"key-1": "updated"}
    assert ended.report.exit_status == 0
    assert aliases(sandbox) == {**before, min(before): "front desk"}
    assert creates(sandbox) == 3


@pytest.mark.parametrize("alias", ["ROW-1", "row\u20101"], ids=["case", "Unicode"])
async def test_an_alias_that_hardly_differs(applied: Apply, rows: Rows, sandbox: Sandbox, alias: str) -> None:
    """It is another alias, and the same endpoint."""
    await applied(rows(1))
    assert statuses(await applied([evolve(rows(1)[0], alias=alias)])) == {"key-1": "updated"}
    assert list(aliases(sandbox).values()) == [alias]


async def test_two_rows_that_swap_their_aliases(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Each keeps its endpoint."""
    await applied(rows(3))
    one, two, three = rows(3)
    swapped = [evolve(one, alias=two.alias), evolve(two, alias=one.alias), three]
    ended = await applied(swapped)
    assert (statuses(ended), ended.report.exit_status) == ({"key-1": "updated", "key-2": "updated"}, 0)
    assert list(aliases(sandbox).values()) == ["row-2", "row-1", "row-3"]


async def test_an_application(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A new one is an update; a row that no longer names one leaves it as it is."""
    await applied(rows(1))
    assert statuses(await applied([evolve(rows(1)[0], app_id="77")])) == {"key-1": "updated"}
    updates = len(sandbox.requests)
    assert statuses(await applied(rows(1))) == {}
    assert not any(request.method == "POST" for request in sandbox.requests[updates:])


async def test_rows_that_come_and_go(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A new row is made; one that is gone keeps its endpoint, is counted, and has it when it is back."""
    await applied(rows(3))
    before = aliases(sandbox)
    planned = await plan(client, rows(4)[1:], journal=tmp_path / "run.db")
    assert (planned.create, planned.unchanged, planned.gone) == (("key-4",), ("key-2", "key-3"), 1)
    ended = await applied(rows(4)[1:])
    assert (statuses(ended), ended.report.gone, ended.report.exit_status) == ({"key-4": "created"}, 1, 0)
    assert aliases(sandbox).items() > before.items()
    assert (await read_report(tmp_path / "run.db")).gone == 1
    back = await applied(rows(4))
    assert (statuses(back), back.report.gone, len(sandbox.endpoints)) == ({}, 0, 4)
    assert (await audit(client, tmp_path / "run.db")).exit_status == 0


async def test_an_endpoint_of_its_own_beside_a_strangers(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """A row that was found in the account once keeps its endpoint, whoever takes its alias later."""
    await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    assert statuses(await applied(rows(1))) == {"key-1": "unchanged"}
    await client.endpoints.create(username="somebody", password="secret", alias="row-1")
    ended = await applied(rows(2))
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "created"}, 0)
    assert len(sandbox.endpoints) == 3


async def test_a_key_that_is_edited(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A row of another key that asks for the same is not made a second time: a person decides."""
    await applied(rows(2))
    ended = await applied([evolve(rows(1)[0], key="dora"), rows(2)[1]])
    assert statuses(ended) == {"dora": "review"}
    assert "made for key 'key-1': give the row that key" in (ended.outcomes[0].error or "")
    assert statuses(await applied(rows(2))) == {}
    assert len(sandbox.endpoints) == 2


async def test_a_username_that_is_edited(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """An endpoint's cannot change: nothing of the edit is taken up, and nothing sent."""
    await applied(rows(2))
    sent = len(sandbox.requests)
    edited = [evolve(rows(1)[0], username="another"), *rows(4)[1:]]
    with pytest.raises(StaleError, match="key-1: a username cannot change"):
        await applied(edited)
    assert len(sandbox.requests) == sent
    assert statuses(await applied(rows(2))) == {}


async def test_a_row_whose_create_is_in_doubt(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It may not be edited or go before a run has decided; all others may."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    async with apply(client, rows(2), journal=tmp_path / "run.db", settle=60.0) as run:
        while run.progress.phase != "settling":
            await asyncio.sleep(0.01)
    for edited in ([evolve(rows(1)[0], alias="another"), rows(2)[1]], rows(2)[1:]):
        with pytest.raises(StaleError, match="key-1: its create was under way"):
            await applied(edited)
    ended = await applied([rows(1)[0], evolve(rows(2)[1], alias="another"), rows(3)[2]])
    assert statuses(ended) == {"key-1": "adopted", "key-2": "created", "key-3": "created"}
    assert sorted(aliases(sandbox).values()) == ["another", "row-1", "row-3"]


async def test_what_was_refused_is_tried_again(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """By the next run, as it was or edited: a refused create made nothing."""
    sandbox.inject(Fault(applied=False, status=400), times=2, method="POST")
    assert statuses(await applied(rows(3)))["key-1"] == "failed"
    again = await applied([evolve(rows(1)[0], alias="another"), *rows(3)[1:]])
    assert statuses(again) == {"key-1": "created", "key-2": "created"}
    assert (len(sandbox.endpoints), again.report.exit_status) == (3, 0)


async def test_a_refused_create_that_made_an_endpoint(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Should Plivo have told an untruth, the next run finds it instead of making another."""
    sandbox.inject(Fault(applied=True, status=400), times=1, method="POST")

    async def no_audit(*_: object) -> tuple[()]:
        return ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plivo_endpoints.provisioning._run.examine_account", no_audit)
        assert statuses(await applied(rows(2)))["key-1"] == "failed"
    assert statuses(await applied(rows(2))) == {"key-1": "unchanged"}
    assert len(sandbox.endpoints) == 2


async def test_an_update_that_was_refused_is_tried_again(
    applied: Apply, rows: Rows, sandbox: Sandbox
) -> None:
    """The endpoint is known, so it is an update again, not a create."""
    await applied(rows(1))
    edited = [evolve(rows(1)[0], alias="front desk")]
    sandbox.inject(Fault(applied=False, status=400), times=1, method="POST", path="Endpoint/*/")
    assert statuses(await applied(edited)) == {"key-1": "failed"}
    assert statuses(await applied(edited)) == {"key-1": "updated"}
    assert list(aliases(sandbox).values()) == ["front desk"]


async def test_a_conflict_that_was_put_right(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Whether in the account or in the source, the next run goes on."""
    others = [
        await client.endpoints.create(username="somebody", password="secret", alias=row.alias)
        for row in rows(2)
    ]
    assert statuses(await applied(rows(3))) == {"key-1": "review", "key-2": "review", "key-3": "created"}
    await client.endpoints.delete(others[0].endpoint_id)
    one, two, three = rows(3)
    assert statuses(await applied([one, evolve(two, alias="another"), three])) == {
        "key-1": "created",
        "key-2": "created",
    }
    assert len(sandbox.endpoints) == 4


async def test_an_edit_after_a_mismatch(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """What the last run stopped at is put right first, with the source as it was."""
    sandbox.inject(
        Fault(applied=True, status=201, body='{"endpoint_id": "1", "username": "nobody", "alias": "row-1"}'),
        times=1,
        method="POST",
    )
    with pytest.raises(Exception, match="it was named 'nobody'"):
        await applied(rows(2))
    with pytest.raises(StaleError, match="the last run stopped at an endpoint"):
        await applied(rows(3))


async def test_an_endpoint_that_was_changed_by_hand(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """It needs review until it is put right there, or the row is edited: then it is updated."""
    await applied(rows(2))
    for endpoint_id in sandbox.endpoints:
        await client.endpoints.update(endpoint_id, alias="by hand")
    assert (await applied(rows(2))).report.counts["review"] == 2
    await client.endpoints.update(min(sandbox.endpoints), alias="row-1")
    ended = await applied([rows(1)[0], evolve(rows(2)[1], alias="another")])
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "updated"}, 0)
    assert list(aliases(sandbox).values()) == ["row-1", "another"]
    assert len(sandbox.endpoints) == 2

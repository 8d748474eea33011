"""Runs and plans for some rows only, chosen by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import evolve

from plivo_endpoints import InvalidArgumentError
from plivo_endpoints.provisioning import SourceError
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import leave_in_doubt, plan, read_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Row
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


def aliases(sandbox: Sandbox) -> list[str]:
    """Return the aliases of the account's endpoints."""
    return sorted(str(endpoint.alias) for endpoint in sandbox.endpoints.values())


def statuses(ended: Ended) -> dict[str, str]:
    """Return what came of the rows that a run passed on."""
    return {outcome.key: outcome.status for outcome in ended.outcomes}


async def test_a_first_row(applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is created and counted, the others are not; a run for all creates these."""
    ended = await applied(rows(5), only=["key-3"])
    assert (statuses(ended), aliases(sandbox)) == ({"key-3": "created"}, ["row-3"])
    assert (ended.report.total, ended.report.audited, ended.report.exit_status) == (1, True, 0)
    assert (await read_report(tmp_path / "run.db")).counts["unprocessed"] == 4
    rest = await applied(rows(5))
    assert (rest.report.counts["created"], rest.report.counts["unchanged"]) == (4, 1)
    assert len(sandbox.endpoints) == 5


async def test_edited_rows(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """One is updated, one replaced and one deleted; those that were not chosen stay as they are."""
    await applied(rows(6))
    one, two, three, four, *_ = rows(6)
    edited = [
        evolve(one, alias="one"),
        evolve(two, alias="two"),
        evolve(three, username="three", alias="three"),
        evolve(four, username="four"),
    ]
    ended = await applied(edited, only=["key-1", "key-3", "key-5"], replace=True, delete=True)
    assert statuses(ended) == {"key-1": "updated", "key-3": "replaced", "key-5": "deleted"}
    assert aliases(sandbox) == ["one", "row-2", "row-4", "row-6", "three"]
    assert ended.report.exit_status == 0


async def test_the_last_but_one_deletion(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """The deletion limit is a share of the whole fleet."""
    await applied(rows(3))
    ended = await applied(rows(1), only=["key-2"], delete=True)
    assert (statuses(ended), aliases(sandbox)) == ({"key-2": "deleted"}, ["row-1", "row-3"])


async def test_others_in_doubt(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Their creates stay undecided until a run that is for them; none is created twice."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    await leave_in_doubt(client, rows(3), tmp_path / "run.db")
    ended = await applied(rows(3), only=["key-2"])
    assert statuses(ended) == {"key-2": "created"}
    assert (await read_report(tmp_path / "run.db")).counts["unprocessed"] == 2
    assert statuses(await applied(rows(3)))["key-1"] == "adopted"
    assert aliases(sandbox) == ["row-1", "row-2", "row-3"]


async def test_an_endpoint_that_another_row_can_be(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """All rows are considered when an endpoint is matched."""
    await applied(rows(1))
    came = [evolve(rows(2)[1], username=rows(1)[0].username, alias="row-1")]
    ended = await applied(came, only=["key-2"])
    assert statuses(ended) == {"key-2": "review"}
    assert len(sandbox.endpoints) == 1


async def test_a_plan(applied: Apply, rows: Rows, client: AsyncClient, tmp_path: Path) -> None:
    """It contains only the steps of these rows."""
    await applied(rows(3))
    edited = [evolve(row, alias=f"{row.alias} edited") for row in rows(2)]
    planned = await plan(client, edited, state=tmp_path / "run.db", only=["key-2", "key-3"])
    assert [(step.key, step.kind) for step in planned.steps] == [("key-2", "update"), ("key-3", "delete")]
    assert planned.unchanged == 0


async def test_a_key_that_nobody_has(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is refused; nothing is sent, and the state stays as it was."""
    await applied(rows(2))
    sent, before = len(sandbox.requests), await read_report(tmp_path / "run.db")
    message = "has a key that is in neither the source nor the state: 'key-8', 'key-9'"
    with pytest.raises(InvalidArgumentError, match=message):
        await applied(rows(4), only=["key-1", "key-4", "key-9", "key-8"])
    with pytest.raises(InvalidArgumentError, match="neither the source nor the state: 'key-9'"):
        await plan(client, rows(4), state=tmp_path / "run.db", only=["key-9"])
    assert len(sandbox.requests) == sent
    assert await read_report(tmp_path / "run.db") == before


async def test_a_key_given_twice(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It counts once, in the first run of a fleet and in later ones."""
    ended = await applied(rows(3), only=["key-1", "key-1"])
    assert (statuses(ended), ended.report.total) == ({"key-1": "created"}, 1)
    ended = await applied(rows(3), only=["key-2", "key-3", "key-2"])
    assert (statuses(ended), ended.report.total) == ({"key-2": "created", "key-3": "created"}, 2)
    assert aliases(sandbox) == ["row-1", "row-2", "row-3"]


async def test_a_source_that_cannot_be_read(client: AsyncClient, tmp_path: Path) -> None:
    """What is wrong with it is said, and not that a key is missing."""
    (tmp_path / "users.csv").write_text("usernam,alias,password,key\nalice,a,s3cret,dora\n")
    with pytest.raises(SourceError, match="usernam"):
        await plan(client, tmp_path / "users.csv", only=["dora"])


async def test_a_plan_for_some_rows(applied: Apply, rows: Rows, client: AsyncClient) -> None:
    """It cannot be applied."""
    planned = await plan(client, rows(2), only=["key-1"])
    with pytest.raises(InvalidArgumentError, match="plan: is for some rows only"):
        await applied(rows(2), plan=planned)


NO_COLLECTION: Final = "must be a collection of keys"
NO_STRINGS: Final = "must have keys that are strings"


@pytest.mark.parametrize(
    ("only", "rule"),
    [
        ("key-1", NO_COLLECTION),
        (5, NO_COLLECTION),
        (b"key-1", NO_COLLECTION),
        ([5], NO_STRINGS),
        ([b"key-1"], NO_STRINGS),
        ([["key-1"]], NO_STRINGS),
    ],
)
async def test_what_is_no_collection_of_keys(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, *, only: Any, rule: str
) -> None:
    """It is refused: no row can have such keys, and a single key's characters would be taken for keys."""
    with pytest.raises(InvalidArgumentError, match=f"only: {rule}"):
        await applied(rows(1), only=only)
    with pytest.raises(InvalidArgumentError, match=f"only: {rule}"):
        await plan(client, rows(1), only=only)
    assert not sandbox.requests


async def test_together_with_a_plan(applied: Apply, rows: Rows, client: AsyncClient) -> None:
    """It is refused, as a plan is for all rows."""
    planned = await plan(client, rows(2))
    with pytest.raises(InvalidArgumentError, match="cannot be combined with a plan"):
        await applied(rows(2), plan=planned, only=["key-1"])

"""The next run continues a run that ended in the middle of replacements and deletions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from plivo_endpoints import AuthenticationError
from plivo_endpoints.provisioning import DeletionLimitError, Entry, Row, RowState, SqliteState, StateError
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply, leave_in_doubt, read_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Transition
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Ends = Callable[[Entry, Entry], bool]
    Rows = Callable[[int], list[Row]]


class EndingState(SqliteState):
    """Does not write one change, nor anything after it, as if the process had been killed just before."""

    def __init__(self, path: Path, ends: Ends) -> None:
        super().__init__(path)
        self._ends = ends
        self._is_over = False

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write what comes before."""
        self._is_over = self._is_over or any(self._ends(*change) for change in changes)
        if self._is_over:
            raise StateError("the end")
        await super().save(changes)


class NeverDropping(SqliteState):
    """Ends when the endpoints before replacements are to be deleted."""

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """End, if there is one."""
        if await super().read_replaced(limit, states):
            raise StateError("the end")
        return ()


def is_renamed(before: Entry, after: Entry) -> bool:
    """Whether a replacement is about to be made."""
    return before.state is RowState.RENAMED and after.replaces is not None


def is_intended(_: Entry, after: Entry) -> bool:
    """Whether the create of a replacement is about to leave."""
    return after.state is RowState.INTENT and after.replaces is not None


def is_made(before: Entry, after: Entry) -> bool:
    """Whether a replacement was made."""
    return before.replaces is not None and after.state is RowState.CREATED


def is_dropped(before: Entry, after: Entry) -> bool:
    """Whether the endpoint before a replacement was deleted."""
    return before.replaces is not None and after.state is RowState.REPLACED


def is_second_deletion(before: Entry, after: Entry) -> bool:
    """Whether the second of the rows that are gone was deleted."""
    return after.state is RowState.DELETED and before.key == "key-5"


def edited(rows: list[Row]) -> list[Row]:
    """Rename the first two of six rows, and leave the last three out."""
    return [*(evolve(row, username=f"{row.username}new") for row in rows[:2]), rows[2]]


@pytest.mark.parametrize("ends", [is_renamed, is_intended, is_made, is_dropped, is_second_deletion])
async def test_a_kill(  # noqa: PLR0917 - fixtures
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, ends: Ends
) -> None:
    """Whatever was written last, in the end each row has one endpoint, and removed rows have none."""
    await applied(rows(6))
    (third,) = [endpoint_id for endpoint_id, each in sandbox.endpoints.items() if each.alias == "row-3"]
    wanted = edited(rows(6))
    allowed: dict[str, Any] = {"replace": True, "delete": True}
    state = EndingState(tmp_path / "run.db", ends)
    with pytest.raises(StateError, match="the end"):
        async with apply(client, wanted, state=state, settle=0.2, concurrency=1, **allowed):
            pass
    assert len(sandbox.endpoints) > 3
    ended = await applied(wanted, **allowed)
    made = {each.alias: each.username[:-12] for each in sandbox.endpoints.values()}
    assert made == {row.alias: row.username for row in wanted}
    assert (len(sandbox.endpoints), third in sandbox.endpoints) == (3, True)
    assert (ended.report.exit_status, ended.report.gone, ended.report.duplicates) == (0, 0, ())
    assert ended.report.counts["deleted"] == 3
    again = await applied(wanted, **allowed)
    assert {outcome.status for outcome in again.outcomes} == {"unchanged"}


async def test_deletions_that_are_not_allowed_any_more(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The remaining endpoints stay, and are counted."""
    await applied(rows(6))
    sandbox.inject(Fault(applied=False, status=401), times=1, method="DELETE")
    with pytest.raises(AuthenticationError):
        await applied(rows(3), delete=True, concurrency=1)
    left = len(sandbox.endpoints)
    ended = await applied(rows(3))
    assert (len(sandbox.endpoints), ended.report.gone, ended.report.exit_status) == (left, left - 3, 0)
    assert (await read_report(tmp_path / "run.db")).gone == left - 3


async def test_a_limit_of_deletions_that_come_to_be_allowed(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It also holds for a resumed run, as the interrupted one was not to delete anything."""
    await applied(rows(30))
    cut_short = [*rows(10), *rows(50)[30:]]
    async with apply(client, cut_short, state=tmp_path / "run.db", concurrency=1) as run:
        async for outcome in run:
            if outcome.status == "created":
                break
    with pytest.raises(DeletionLimitError, match=r"20 of \d+ endpoints would be deleted"):
        await applied(cut_short, delete=True)
    assert {row.alias for row in rows(30)} <= {each.alias for each in sandbox.endpoints.values()}
    ended = await applied(cut_short, delete=True, delete_limit=20)
    assert (ended.report.counts["deleted"], len(sandbox.endpoints)) == (20, 30)


def statuses(ended: Ended) -> dict[str, str]:
    """Return what came of the rows, by key."""
    return {outcome.key: outcome.status for outcome in ended.outcomes}


async def test_a_name_that_is_edited_back_while_its_replacement_is_in_doubt(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nothing was created, so the row keeps its previous endpoint."""
    await applied(rows(1))
    (first,) = sandbox.endpoints
    sandbox.inject(Fault(applied=False, status=503), times=2, method="POST")
    renamed = [evolve(rows(1)[0], username="another")]
    await leave_in_doubt(client, renamed, tmp_path / "run.db", replace=True)
    ended = await applied(rows(1), replace=True)
    assert (ended.report.exit_status, list(sandbox.endpoints)) == (0, [first])


@pytest.mark.parametrize("name", ["third", "user1x"])
async def test_a_name_that_is_edited_again_before_the_old_endpoint_is_deleted(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, name: str
) -> None:
    """None of the three is left over."""
    await applied(rows(1))
    state = EndingState(tmp_path / "run.db", is_dropped)
    with pytest.raises(StateError, match="the end"):
        async with apply(
            client, [evolve(rows(1)[0], username="second")], state=state, settle=0.2, replace=True
        ):
            pass
    ended = await applied([evolve(rows(1)[0], username=name)], replace=True)
    assert ended.report.exit_status == 0
    assert [endpoint.username[:-12] for endpoint in sandbox.endpoints.values()] == [name]


async def test_a_replacement_that_vanished_before_the_old_endpoint_is_deleted(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The old one stays, as the row has no other."""
    await applied(rows(1))
    (first,) = sandbox.endpoints

    renamed = [evolve(rows(1)[0], username="second")]
    with pytest.raises(StateError, match="the end"):
        async with apply(client, renamed, state=NeverDropping(tmp_path / "run.db"), settle=0.2, replace=True):
            pass
    await client.endpoints.delete(max(sandbox.endpoints, key=lambda each: each != first))
    ended = await applied(renamed, replace=True)
    assert (statuses(ended), list(sandbox.endpoints)) == ({"key-1": "review"}, [first])


async def test_a_colleagues_endpoint_that_came_between_two_lives(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is not taken for the result of a create that is sent and lost only later."""
    async with apply(client, rows(3), state=tmp_path / "run.db", concurrency=1) as run:
        await anext(aiter(run))
        run.stop()
    third = rows(3)[2]
    theirs = await client.endpoints.create(username=third.username, password="secret", alias=third.alias)
    sandbox.inject(Fault(applied=False, status=503), times=1, method="POST")
    ended = await applied(rows(3))
    assert (statuses(ended)["key-3"], theirs.endpoint_id in sandbox.endpoints) == ("review", True)
    assert [outcome.endpoint_id for outcome in ended.outcomes if outcome.key == "key-3"] == [None]


async def test_a_lost_create_whose_endpoint_got_another_alias(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is not created a second time: a person decides whether it is that endpoint."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    await leave_in_doubt(client, rows(2), tmp_path / "run.db")
    (lost,) = [each for each in sandbox.endpoints.values() if each.alias == "row-1"]
    await client.endpoints.update(lost.endpoint_id, alias="front desk")
    ended = await applied(rows(2))
    assert (statuses(ended), len(sandbox.endpoints)) == ({"key-1": "review", "key-2": "created"}, 2)


async def test_a_new_name_that_is_taken_before_its_endpoint_is_made(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A colleague took it, so a person decides; until then the row keeps its old endpoint."""
    await applied(rows(1))
    (first,) = sandbox.endpoints
    renamed = [evolve(rows(1)[0], username="another")]
    state = EndingState(tmp_path / "run.db", is_intended)
    with pytest.raises(StateError, match="the end"):
        async with apply(client, renamed, state=state, settle=0.2, replace=True):
            pass
    theirs = await client.endpoints.create(username="another", password="secret", alias="row-1")
    ended = await applied(renamed)
    assert (statuses(ended), set(sandbox.endpoints)) == ({"key-1": "review"}, {first, theirs.endpoint_id})


@pytest.mark.parametrize("is_allowed", [False, True])
async def test_a_name_that_is_edited_back_after_its_lost_replacement_was_made(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, is_allowed: bool
) -> None:
    """Wanted endpoints are deleted only if allowed; then one with the name is left."""
    await applied(rows(1))
    (first,) = sandbox.endpoints
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    renamed = [evolve(rows(1)[0], username="another")]
    await leave_in_doubt(client, renamed, tmp_path / "run.db", replace=True)
    ended = await applied(rows(1), replace=is_allowed)
    names = [endpoint.username[:-12] for endpoint in sandbox.endpoints.values()]
    if is_allowed:
        assert (statuses(ended), names) == ({"key-1": "replaced"}, ["user1x"])
    else:
        assert (statuses(ended), first in sandbox.endpoints) == ({"key-1": "review"}, True)


async def test_a_password_update_that_was_applied_but_not_recorded(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is unknown which password is set, so it is sent again, whatever the file has then."""
    key = "a master key of at least sixteen characters"
    await applied(rows(1), master_key=key)

    def is_updated(_: Entry, after: Entry) -> bool:
        return after.state is RowState.UPDATED

    state = EndingState(tmp_path / "run.db", is_updated)
    edited = [evolve(rows(1)[0], password="another")]
    with pytest.raises(StateError, match="the end"):
        async with apply(client, edited, state=state, master_key=key):
            pass
    assert statuses(await applied(rows(1), master_key=key)) == {"key-1": "updated"}
    (endpoint,) = sandbox.endpoints.values()
    assert endpoint.password == hashlib.md5(b"secret-1", usedforsecurity=False).hexdigest()

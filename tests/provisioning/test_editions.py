"""A source that is edited from one run to the next: rows are recognised by their keys."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from plivo_endpoints.provisioning import (
    AsyncFleet,
    DeletionLimitError,
    ProvisioningError,
    RefusedError,
    Row,
    _outage,
)
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import audit, leave_in_doubt, plan, prune, read_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Plan
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]

KEY = "a master key of at least sixteen characters"


def creates(sandbox: Sandbox) -> int:
    """Return how many creates were sent."""
    return sum(
        request.method == "POST" and request.path.endswith("Endpoint/") for request in sandbox.requests
    )


def aliases(sandbox: Sandbox) -> dict[str, str | None]:
    """Return the aliases of the account's endpoints, by id."""
    return {endpoint_id: endpoint.alias for endpoint_id, endpoint in sandbox.endpoints.items()}


def statuses(ended: Ended) -> dict[str, str]:
    """Return what came of the rows that this run finished, by key, but for those left as they are."""
    return {outcome.key: outcome.status for outcome in ended.outcomes if outcome.status != "unchanged"}


async def leave_at_a_deletion(sandbox: Sandbox, run: Awaitable[Ended]) -> None:
    """Let a run begin, and cut it off once it has sent a deletion; it is not given time to end."""
    running = asyncio.ensure_future(run)
    while not any(request.method == "DELETE" for request in sandbox.requests):
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.sleep(0.01)
    running.cancel()  # of the time that it gives what is under way
    with pytest.raises(asyncio.CancelledError):
        await running


def steps(planned: Plan) -> dict[str, str]:
    """Return the kinds of a plan's steps, by key."""
    return {step.key: step.kind for step in planned.steps}


async def test_an_edited_alias(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is an update of the row's endpoint, not a second endpoint, and the plan shows it."""
    await applied(rows(3))
    before = aliases(sandbox)
    edited = [evolve(rows(3)[0], alias="front desk"), *rows(3)[1:]]
    planned = await plan(client, edited, state=tmp_path / "run.db")
    (step,) = planned.steps
    assert (step.key, step.kind, step.endpoint_id) == ("key-1", "update", min(before))
    assert step.changes == {"alias": ("row-1", "front desk")}
    assert (planned.unchanged, planned.summary) == (2, "1 to update, 2 unchanged.")
    assert aliases(sandbox) == before
    ended = await applied(edited)
    assert statuses(ended) == {"key-1": "updated"}
    assert ended.report.exit_status == 0
    assert aliases(sandbox) == {**before, min(before): "front desk"}
    assert creates(sandbox) == 3


@pytest.mark.parametrize("alias", ["ROW-1", "row\u20101"], ids=["case", "Unicode"])
async def test_an_alias_that_hardly_differs(applied: Apply, rows: Rows, sandbox: Sandbox, alias: str) -> None:
    """It is another alias for the same endpoint."""
    await applied(rows(1))
    assert statuses(await applied([evolve(rows(1)[0], alias=alias)])) == {"key-1": "updated"}
    assert list(aliases(sandbox).values()) == [alias]


async def test_two_rows_that_swap_their_aliases(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Each keeps its endpoint."""
    await applied(rows(3))
    before = aliases(sandbox)
    one, two, three = rows(3)
    swapped = [evolve(one, alias=two.alias), evolve(two, alias=one.alias), three]
    ended = await applied(swapped)
    assert (statuses(ended), ended.report.exit_status) == ({"key-1": "updated", "key-2": "updated"}, 0)
    other = {"row-1": "row-2", "row-2": "row-1", "row-3": "row-3"}
    assert aliases(sandbox) == {endpoint_id: other[str(alias)] for endpoint_id, alias in before.items()}


async def test_two_people_of_one_alias(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Keys and usernames distinguish them."""
    sales = [evolve(row, alias="Sales") for row in rows(30)]
    sandbox.inject(Fault(applied=True, status=503), times=5, method="POST")
    ended = await applied(sales, settle=0.5)
    assert (ended.report.counts["created"] + ended.report.counts["adopted"], ended.report.exit_status) == (
        30,
        0,
    )
    assert list(aliases(sandbox).values()) == ["Sales"] * 30
    again = await applied(sales)
    assert (statuses(again), again.report.exit_status) == ({}, 0)


async def test_an_application(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A new one is an update; a row that no longer gives one leaves it as it is."""
    await applied(rows(1))
    assert statuses(await applied([evolve(rows(1)[0], app_id="77")])) == {"key-1": "updated"}
    updates = len(sandbox.requests)
    assert statuses(await applied(rows(1))) == {}
    assert not any(request.method == "POST" for request in sandbox.requests[updates:])


@pytest.mark.parametrize(
    ("edit", "options"),
    [
        ({"password": "another"}, {"master_key": KEY}),
        ({"password": None}, {"master_key": KEY}),
        ({"password_version": "2"}, {"master_key": KEY}),
        ({"password": "another", "password_version": "2"}, {}),
    ],
    ids=["fingerprint", "derived", "version", "version without a key"],
)
async def test_a_password_that_is_edited(
    applied: Apply, rows: Rows, sandbox: Sandbox, edit: dict[str, Any], options: Any
) -> None:
    """It is sent again, only for this row; no value is shown or stored."""
    await applied(rows(3), **options)
    before = [client_password(sandbox, n) for n in range(3)]
    edited = [evolve(rows(1)[0], **edit), *rows(3)[1:]]
    ended = await applied(edited, **options)
    assert statuses(ended) == {"key-1": "updated"}
    after = [client_password(sandbox, n) for n in range(3)]
    assert (after[0] != before[0] or "password" not in edit, after[1:]) == (True, before[1:])
    assert statuses(await applied(edited, **options)) == {}


def client_password(sandbox: Sandbox, place: int) -> str:
    """Return what the sandbox shows of an endpoint's password."""
    return list(sandbox.endpoints.values())[place].password


def md5(password: str) -> str:
    """Return what Plivo, and the sandbox, show of a password."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


async def test_a_password_that_nobody_can_compare(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Without master key and version passwords cannot be compared, so none is sent again."""
    await applied(rows(1))
    assert statuses(await applied([evolve(rows(1)[0], password="another")])) == {}
    assert client_password(sandbox, 0) == md5("secret-1")


async def test_derived_passwords_do_not_change(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """They do not depend on other rows of the file."""
    derived = [evolve(row, password=None) for row in rows(4)]
    await applied(derived[:3], master_key=KEY)
    before = [client_password(sandbox, n) for n in range(3)]
    assert statuses(await applied(list(reversed(derived)), master_key=KEY)) == {"key-4": "created"}
    assert [client_password(sandbox, n) for n in range(3)] == before


async def test_rows_that_come_and_go(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A new row is created; a removed one keeps its endpoint, is counted, and has it when it is back."""
    await applied(rows(3))
    before = aliases(sandbox)
    planned = await plan(client, rows(4)[1:], state=tmp_path / "run.db")
    assert (steps(planned), planned.unchanged) == ({"key-4": "create", "key-1": "delete"}, 2)
    assert planned.steps[1].needs == "delete"
    ended = await applied(rows(4)[1:])
    assert (statuses(ended), ended.report.gone, ended.report.exit_status) == ({"key-4": "created"}, 1, 0)
    assert aliases(sandbox).items() > before.items()
    assert (await read_report(tmp_path / "run.db")).gone == 1
    back = await applied(rows(4))
    assert (statuses(back), back.report.gone, len(sandbox.endpoints)) == ({}, 0, 4)
    assert (await audit(client, tmp_path / "run.db")).exit_status == 0


async def test_rows_that_go_for_good(applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path) -> None:
    """If allowed, their endpoints are deleted, no others, and then the rows are forgotten."""
    await applied(rows(4))
    before = aliases(sandbox)
    ended = await applied(rows(2), delete=True)
    assert statuses(ended) == {"key-3": "deleted", "key-4": "deleted"}
    assert (ended.report.gone, ended.report.counts["deleted"], ended.report.exit_status) == (0, 2, 0)
    kept = {endpoint_id: alias for endpoint_id, alias in before.items() if alias in {"row-1", "row-2"}}
    assert aliases(sandbox) == kept
    assert (await read_report(tmp_path / "run.db")).counts["deleted"] == 2
    assert statuses(await applied(rows(3), delete=True)) == {"key-3": "created"}
    assert (await read_report(tmp_path / "run.db")).counts["deleted"] == 0


async def test_a_phone_that_is_registered(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Its endpoint is not deleted unless that is allowed too."""
    await applied(rows(2))
    first = next(iter(sandbox.endpoints))
    sandbox.register(first)
    ended = await applied(rows(2)[1:], delete=True)
    assert statuses(ended) == {"key-1": "failed"}
    assert (ended.report.exit_status, len(sandbox.endpoints)) == (1, 2)
    ended = await applied(rows(2)[1:], delete=True, even_registered=True)
    assert (statuses(ended), list(sandbox.endpoints)) == ({"key-1": "deleted"}, list(sandbox.endpoints)[-1:])


async def test_more_deletions_than_anybody_can_mean(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A truncated file deletes and sends nothing until that number is allowed."""
    await applied(rows(30))
    sent = sum(request.method != "GET" for request in sandbox.requests)
    with pytest.raises(DeletionLimitError, match="11 of 30 endpoints would be deleted, more than 10"):
        await applied(rows(19), delete=True)
    with pytest.raises(DeletionLimitError, match="30 of 30"):
        await applied([], delete=True)
    assert sum(request.method != "GET" for request in sandbox.requests) == sent
    assert (await applied(rows(19), delete=True, delete_limit=11)).report.counts["deleted"] == 11
    assert len(sandbox.endpoints) == 19


async def test_an_endpoint_of_its_own_beside_a_strangers(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """An imported row keeps its endpoint, whoever uses its alias later."""
    await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    assert statuses(await applied(rows(1))) == {"key-1": "review"}
    assert statuses(await applied(rows(1), import_existing=True)) == {"key-1": "imported"}
    await client.endpoints.create(username="somebody", password="secret", alias="row-1")
    ended = await applied(rows(2))
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "created"}, 0)
    assert len(sandbox.endpoints) == 3


async def test_what_an_import_brings(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """The application is corrected; the password is not sent, as phones may log in with it."""
    await client.endpoints.create(username="user1x", password="of-old", alias="row-1")
    wanted = [evolve(rows(1)[0], app_id="77")]
    assert statuses(await applied(wanted, import_existing=True, master_key=KEY)) == {"key-1": "updated"}
    (endpoint,) = sandbox.endpoints.values()
    assert (endpoint.password, endpoint.app_id) == (md5("of-old"), "77")
    again = [evolve(wanted[0], password="another")]
    assert statuses(await applied(again, master_key=KEY)) == {"key-1": "updated"}


async def test_names_that_can_be_mistaken(applied: Apply, client: AsyncClient, sandbox: Sandbox) -> None:
    """The number of appended digits is known: a colleague's `ext12` is not `ext1`, nor any row's."""
    theirs = await client.endpoints.create(username="ext12", password="secret", alias="Sales")
    ended = await applied([Row(key="one", username="ext1", alias="Sales", password="s3cret")])
    assert (statuses(ended), ended.report.duplicates, ended.report.exit_status) == ({"one": "created"}, (), 0)
    assert theirs.endpoint_id in sandbox.endpoints


async def test_another_alias_or_several(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Ambiguous matches are for a person to decide, with import or without."""
    for alias in ("row-1", "row-1", "another"):
        name = "user2x" if alias == "another" else "user1x"
        await client.endpoints.create(username=name, password="secret", alias=alias)
    ended = await applied(rows(2), import_existing=True)
    assert statuses(ended) == {"key-1": "review", "key-2": "review"}
    first, second, third = sandbox.endpoints.values()
    assert {outcome.key: outcome.error for outcome in ended.outcomes} == {
        "key-1": f"several endpoints match it: {first.endpoint_id}, {second.endpoint_id}",
        "key-2": f"endpoint {third.endpoint_id} ({third.username}) has its username but another alias",
    }
    assert (ended.report.exit_status, len(sandbox.endpoints)) == (3, 3)


async def test_a_key_that_is_edited(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A row with another key but the same username is not created again: a person decides."""
    await applied(rows(2))
    ended = await applied([evolve(rows(1)[0], key="dora"), rows(2)[1]])
    assert statuses(ended) == {"dora": "review"}
    assert "made for key 'key-1'" in next(outcome.error or "" for outcome in ended.outcomes if outcome.error)
    assert statuses(await applied(rows(2))) == {}
    assert len(sandbox.endpoints) == 2


async def test_a_username_that_is_edited(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It needs a new endpoint, created only if allowed; then the previous one is deleted."""
    await applied(rows(2))
    first, second = sandbox.endpoints
    edited = [evolve(rows(1)[0], username="another"), rows(2)[1]]
    (step,) = (await plan(client, edited, state=tmp_path / "run.db")).steps
    assert (step.kind, step.needs, step.changes) == (
        "replace",
        "replace",
        {"username": ("user1x", "another")},
    )
    ended = await applied(edited)
    assert (statuses(ended), ended.report.exit_status) == ({"key-1": "review"}, 3)
    assert list(sandbox.endpoints) == [first, second]
    assert statuses(await applied(edited, replace=True)) == {"key-1": "replaced"}
    kept, made = sandbox.endpoints.values()
    assert (kept.endpoint_id, made.username[:7], made.alias) == (second, "another", "row-1")
    assert statuses(await applied(edited)) == {}


async def test_a_replacement_that_plivo_refuses(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """The previous endpoint stays, and the row has it again when the username is edited back."""
    await applied(rows(1))
    (first,) = sandbox.endpoints
    sandbox.inject(Fault(applied=False, status=400), times=1, method="POST")
    edited = [evolve(rows(1)[0], username="another")]
    assert statuses(await applied(edited, replace=True)) == {"key-1": "failed"}
    assert list(sandbox.endpoints) == [first]
    assert statuses(await applied(edited)) == {"key-1": "review"}
    back = await applied(rows(1))
    assert (statuses(back), back.report.exit_status, list(sandbox.endpoints)) == ({}, 0, [first])


async def test_a_new_name_that_is_taken(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """An existing endpoint has it, so nothing is replaced or created."""
    await applied(rows(1))
    await client.endpoints.create(username="another", password="secret", alias="row-1")
    ended = await applied([evolve(rows(1)[0], username="another")], replace=True, import_existing=True)
    assert (statuses(ended), len(sandbox.endpoints)) == ({"key-1": "review"}, 2)


async def test_a_row_whose_create_is_in_doubt(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It may be edited: its endpoint is found by what was requested, then updated."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    await leave_in_doubt(client, rows(2), tmp_path / "run.db")
    edited = [evolve(rows(1)[0], alias="another"), *rows(3)[1:]]
    assert statuses(await applied(edited)) == {"key-1": "updated", "key-2": "created", "key-3": "created"}
    assert sorted(str(alias) for alias in aliases(sandbox).values()) == ["another", "row-2", "row-3"]


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_row_that_goes_while_its_create_is_in_doubt(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, is_made: bool
) -> None:
    """It is decided on like any other, and its endpoint is deleted if that is allowed."""
    sandbox.inject(Fault(applied=is_made, status=503), times=1, method="POST")
    await leave_in_doubt(client, rows(2), tmp_path / "run.db")
    ended = await applied(rows(2)[1:], delete=True)
    assert statuses(ended) == ({"key-1": "deleted"} if is_made else {}) | {"key-2": "created"}
    assert (list(aliases(sandbox).values()), ended.report.exit_status) == (["row-2"], 0)


async def test_what_was_refused_is_tried_again(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """The next run retries it, edited or not: a refused create made nothing."""
    sandbox.inject(Fault(applied=False, status=400), times=2, method="POST")
    assert statuses(await applied(rows(3)))["key-1"] == "failed"
    again = await applied([evolve(rows(1)[0], alias="another"), *rows(3)[1:]])
    assert statuses(again) == {"key-1": "created", "key-2": "created"}
    assert (len(sandbox.endpoints), again.report.exit_status) == (3, 0)


async def test_rows_that_are_all_refused(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A run stops before trying all of them; once the cause is gone the next run creates them all."""
    sandbox.inject(
        Fault(applied=False, status=400, body='{"error": "no such application"}'), times=1000, method="POST"
    )
    with pytest.raises(RefusedError, match="refused 20 rows in succession; the last: no such app"):
        await applied(rows(1000))
    assert creates(sandbox) == 20
    sandbox.clear_faults()
    assert (await applied(rows(100))).report.counts["created"] == 100


async def test_a_refused_create_that_made_an_endpoint(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """If Plivo refused it but created it anyway, the next run finds it instead of creating another."""
    sandbox.inject(Fault(applied=True, status=400), times=1, method="POST")
    assert statuses(await applied(rows(2)))["key-1"] == "failed"
    assert statuses(await applied(rows(2), import_existing=True)) == {"key-1": "imported"}
    assert len(sandbox.endpoints) == 2


async def test_an_update_that_was_refused_is_tried_again(
    applied: Apply, rows: Rows, sandbox: Sandbox
) -> None:
    """The endpoint is known, so it is again an update, not a create."""
    await applied(rows(1))
    edited = [evolve(rows(1)[0], alias="front desk")]
    sandbox.inject(Fault(applied=False, status=400), times=1, method="POST", path="Endpoint/*/")
    assert statuses(await applied(edited)) == {"key-1": "failed"}
    assert statuses(await applied(edited)) == {"key-1": "updated"}
    assert list(aliases(sandbox).values()) == ["front desk"]


async def test_a_conflict_that_was_put_right(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Once it is resolved, in the account or in the source, the next run continues."""
    others = [
        await client.endpoints.create(username=row.username, password="secret", alias="somebody")
        for row in rows(2)
    ]
    assert statuses(await applied(rows(3))) == {"key-1": "review", "key-2": "review", "key-3": "created"}
    await client.endpoints.delete(others[0].endpoint_id)
    one, two, three = rows(3)
    assert statuses(await applied([one, evolve(two, username="another"), three])) == {
        "key-1": "created",
        "key-2": "created",
    }
    assert len(sandbox.endpoints) == 4


async def test_an_endpoint_that_was_changed_by_hand(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The plan shows it, and the next run reverts it."""
    await applied(rows(2))
    await client.endpoints.update(min(sandbox.endpoints), alias="by hand")
    (step,) = (await plan(client, rows(2), state=tmp_path / "run.db")).steps
    assert (step.kind, step.changes) == ("drift", {"alias": ("by hand", "row-1")})
    ended = await applied(rows(2))
    assert (statuses(ended), ended.report.exit_status) == ({"key-1": "updated"}, 0)
    assert list(aliases(sandbox).values()) == ["row-1", "row-2"]


async def test_an_endpoint_that_vanished(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is shown, and created again only if allowed."""
    await applied(rows(2))
    await client.endpoints.delete(min(sandbox.endpoints))
    (step,) = (await plan(client, rows(2), state=tmp_path / "run.db")).steps
    assert (step.kind, step.needs) == ("drift", "recreate")
    ended = await applied(rows(2))
    assert (statuses(ended), ended.report.exit_status, len(sandbox.endpoints)) == ({"key-1": "review"}, 3, 1)
    assert statuses(await applied(rows(2), recreate=True)) == {"key-1": "created"}
    assert sorted(str(alias) for alias in aliases(sandbox).values()) == ["row-1", "row-2"]


async def test_a_new_name_that_is_taken_on_the_edge_of_a_page(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Pages overlap, so it is met twice; the row still keeps its own endpoint."""
    await applied(rows(1))
    (first,) = sandbox.endpoints
    for number in range(60):
        name = "another" if number == 17 else f"other{number}x"
        await client.endpoints.create(username=name, password="secret", alias="row-1")
    renamed = [evolve(rows(1)[0], username="another")]
    for _ in range(2):
        ended = await applied(renamed, replace=True, import_existing=True)
        assert statuses(ended) == {"key-1": "review"}
    back = await applied(rows(1))
    assert [outcome.endpoint_id for outcome in back.outcomes] == [first]


async def test_a_run_without_the_master_key(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It cannot compare passwords, but keeps the fingerprints made with the key."""
    await applied(rows(1), master_key=KEY)
    edited = [evolve(rows(1)[0], password="another")]
    assert statuses(await applied(edited)) == {}
    assert statuses(await applied(edited, master_key=KEY)) == {"key-1": "updated"}
    assert client_password(sandbox, 0) == md5("another")


async def test_more_deletions_once_creates_in_doubt_are_decided(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """They count towards the limit as well."""
    await applied(rows(1))
    sandbox.inject(Fault(applied=True, status=503), times=29, method="POST")
    await leave_in_doubt(client, rows(30), tmp_path / "run.db")
    with pytest.raises(DeletionLimitError):
        await applied(rows(1), delete=True)
    assert len(sandbox.endpoints) == 30


async def test_a_deletion_that_plivo_refuses(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """The row fails, all others continue, and the next run tries again."""
    await applied(rows(3))
    sandbox.inject(Fault(applied=False, status=400), times=1, method="DELETE")
    ended = await applied(rows(1), delete=True)
    assert sorted(statuses(ended).values()) == ["deleted", "failed"]
    assert ended.report.audited
    assert list(statuses(await applied(rows(1), delete=True)).values()) == ["deleted"]
    assert len(sandbox.endpoints) == 1


@pytest.mark.parametrize(
    "held_up",
    [Fault(applied=True, latency=600), Fault(applied=False, status=503, latency=600)],
    ids=["deleted", "not deleted"],
)
async def test_a_row_that_comes_back_after_its_deletion_had_begun(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, held_up: Fault
) -> None:
    """The deletion is finished, and the row gets a new endpoint without asking."""
    await applied(rows(2))
    first, second = sandbox.endpoints
    sandbox.inject(held_up, times=1, method="DELETE")
    await leave_at_a_deletion(sandbox, applied(rows(1), delete=True))
    planned = await plan(client, rows(2), state=tmp_path / "run.db")
    assert (steps(planned), planned.unchanged) == ({"key-2": "create"}, 1)
    assert planned.steps[0].endpoint_id == second
    assert (
        planned.steps[0].reason == f"after the deletion of endpoint {second}, which had started, is finished"
    )
    ended = await applied(rows(2), plan=planned)
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "created"}, 0)
    assert first in sandbox.endpoints
    assert second not in sandbox.endpoints
    assert sorted(str(alias) for alias in aliases(sandbox).values()) == ["row-1", "row-2"]


@pytest.mark.parametrize("delete", [True, False])
async def test_a_deletion_that_had_begun_of_a_row_that_stays_away(
    applied: Apply, rows: Rows, sandbox: Sandbox, *, delete: bool
) -> None:
    """The next run finishes it if allowed; until then its endpoint is reported like others."""
    await applied(rows(2))
    sandbox.inject(Fault(applied=False, status=503, latency=600), times=1, method="DELETE")
    await leave_at_a_deletion(sandbox, applied(rows(1), delete=True))
    ended = await applied(rows(1), delete=delete)
    assert (statuses(ended), ended.report.gone) == (({"key-2": "deleted"}, 0) if delete else ({}, 1))
    assert (ended.report.exit_status, len(sandbox.endpoints)) == (0, 1 if delete else 2)


async def test_a_deletion_whose_response_is_an_error(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still take effect, so the row gets a new endpoint when it comes back to the source."""
    monkeypatch.setattr(_outage, "_PAUSES", ())
    await applied(rows(2))
    first, second = sandbox.endpoints
    sandbox.inject(Fault(applied=False, status=504), rate=1.0, method="DELETE")
    ended = await applied(rows(1), delete=True)
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "failed"}, 1)
    assert "it is unknown whether" in str([outcome.error for outcome in ended.outcomes])
    assert (await read_report(tmp_path / "run.db")).counts["failed"] == 1
    assert statuses(await applied(rows(2))) == {"key-2": "failed"}
    sandbox.clear_faults()
    ended = await applied(rows(2))
    assert (statuses(ended), ended.report.exit_status) == ({"key-2": "created"}, 0)
    assert first in sandbox.endpoints
    assert second not in sandbox.endpoints
    assert len(sandbox.endpoints) == 2


async def test_a_new_key_for_an_endpoint_whose_deletion_had_begun(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The plan shows the deletion, and the new row waits for it."""
    await applied(rows(2))
    _, second = sandbox.endpoints
    sandbox.inject(Fault(applied=False, status=503, latency=600), times=1, method="DELETE")
    await leave_at_a_deletion(sandbox, applied(rows(1), delete=True))
    edited = [rows(2)[0], evolve(rows(2)[1], key="new")]
    planned = await plan(client, edited, state=tmp_path / "run.db")
    assert steps(planned) == {"new": "conflict", "key-2": "delete"}
    assert "its deletion has started: finish it with delete" in str(planned.steps[0].reason)
    await applied(edited)
    with pytest.raises(ProvisioningError, match=f"endpoint {second} is being deleted for 'key-2'"):
        await AsyncFleet(client, tmp_path / "run.db").import_endpoints({"new": second})
    assert statuses(await applied(edited, plan=planned, delete=True)) == {"key-2": "deleted", "new": "review"}
    assert statuses(await applied(edited)) == {"new": "created"}


async def test_an_old_endpoint_that_plivo_does_not_delete(
    applied: Apply, rows: Rows, sandbox: Sandbox
) -> None:
    """The row, with its new endpoint, is failed until a run has deleted the old one."""
    await applied(rows(1))
    sandbox.inject(Fault(applied=False, status=409), times=1, method="DELETE")
    edited = [evolve(rows(1)[0], username="another")]
    assert statuses(await applied(edited, replace=True)) == {"key-1": "failed"}
    assert len(sandbox.endpoints) == 2
    ended = await applied(edited)
    assert (ended.report.exit_status, len(sandbox.endpoints)) == (0, 1)


async def test_what_vanished_and_a_colleague_made_again(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """It is not created a second time."""
    await applied(rows(1))
    await client.endpoints.delete(min(sandbox.endpoints))
    theirs = await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    assert statuses(await applied(rows(1), recreate=True)) == {"key-1": "review"}
    ended = await applied(rows(1), recreate=True, import_existing=True)
    assert [(outcome.status, outcome.endpoint_id) for outcome in ended.outcomes] == [
        ("imported", theirs.endpoint_id)
    ]
    assert len(sandbox.endpoints) == 1


async def test_a_version_that_is_raised_as_the_key_comes(applied: Apply, rows: Rows) -> None:
    """The password is sent, though its fingerprint is new."""
    await applied([evolve(rows(1)[0], password_version="1")])
    raised = [evolve(rows(1)[0], password_version="2")]
    assert statuses(await applied(raised, master_key=KEY)) == {"key-1": "updated"}


async def test_a_password_that_is_derived_as_the_key_comes(applied: Apply, rows: Rows) -> None:
    """It certainly differs from the one given before."""
    await applied(rows(1))
    derived = [evolve(rows(1)[0], password=None)]
    assert statuses(await applied(derived, master_key=KEY)) == {"key-1": "updated"}


async def test_a_colleagues_twin_of_an_edited_alias(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A lost create used the old alias, so no endpoint with the new one is deleted as its duplicate."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    assert statuses(await applied(rows(1))) == {"key-1": "adopted"}
    edited = [evolve(rows(1)[0], alias="Support")]
    await applied(edited)
    await client.endpoints.create(username="user1x", password="secret", alias="Support")
    (duplicate,) = (await applied(edited)).report.duplicates
    assert (duplicate.deletable, await prune(client, tmp_path / "run.db")) == (False, ())
    assert len(sandbox.endpoints) == 2


@pytest.mark.parametrize("delete", [True, False])
async def test_a_key_that_is_edited_where_deletion_is_allowed(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, delete: bool
) -> None:
    """An endpoint that matches a row of the file is not deleted before a person has decided."""
    await applied(rows(2))
    before = set(sandbox.endpoints)
    edited = [evolve(rows(1)[0], key="dora"), rows(2)[1]]
    assert steps(await plan(client, edited, state=tmp_path / "run.db")) == {"dora": "conflict"}
    ended = await applied(edited, delete=delete)
    assert statuses(ended) == {"dora": "review"} | ({"key-1": "failed"} if delete else {})
    assert set(sandbox.endpoints) == before


async def test_a_source_without_rows(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It deletes nothing, however few endpoints there are, until the number is allowed."""
    await applied(rows(3))
    with pytest.raises(DeletionLimitError, match="3 of 3"):
        await applied([], delete=True)
    assert len(sandbox.endpoints) == 3
    await applied([], delete=True, delete_limit=3)
    assert len(sandbox.endpoints) == 0

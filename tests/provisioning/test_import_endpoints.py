"""Assigning endpoints to rows by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints.provisioning import AsyncFleet, ProvisioningError, Row, StateError
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import leave_in_doubt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


@pytest.fixture
def fleet(client: AsyncClient, tmp_path: Path) -> AsyncFleet:
    """Give the fleet whose state `applied` uses."""
    return AsyncFleet(client, tmp_path / "run.db")


def endpoints_of(ended: Ended) -> dict[str, tuple[str, str | None]]:
    """Return status and endpoint of each row."""
    return {outcome.key: (outcome.status, outcome.endpoint_id) for outcome in ended.outcomes}


async def test_one_of_several(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, fleet: AsyncFleet
) -> None:
    """The row has it from then on; the others stay, and the audit still reports them."""
    for _ in range(2):
        await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    first, second = sandbox.endpoints
    assert endpoints_of(await applied(rows(1))) == {"key-1": ("review", None)}
    (outcome,) = await fleet.import_endpoints({"key-1": second})
    assert (outcome.key, outcome.status, outcome.endpoint_id) == ("key-1", "imported", second)
    assert outcome.username == sandbox.endpoints[second].username
    ended = await applied(rows(1))
    assert endpoints_of(ended) == {"key-1": ("unchanged", second)}
    assert [(each.endpoint_id, each.kept, each.deletable) for each in ended.report.duplicates] == [
        (first, second, False)
    ]
    assert await fleet.delete_duplicates() == ()
    assert list(sandbox.endpoints) == [first, second]


async def test_one_of_another_alias(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, fleet: AsyncFleet
) -> None:
    """The next run updates what differs, except the password, with which phones may log in."""
    wanted = [evolve(rows(1)[0], app_id="77")]
    theirs = await client.endpoints.create(username="user1x", password="secret", alias="another")
    password = sandbox.endpoints[theirs.endpoint_id].password
    await applied(wanted)
    assert (await fleet.import_endpoints({"key-1": theirs.endpoint_id}))[0].status == "unprocessed"
    assert endpoints_of(await applied(wanted)) == {"key-1": ("updated", theirs.endpoint_id)}
    (endpoint,) = sandbox.endpoints.values()
    assert (endpoint.alias, endpoint.app_id, endpoint.password) == ("row-1", "77", password)


async def test_one_of_a_key_that_is_gone(
    applied: Apply, rows: Rows, sandbox: Sandbox, fleet: AsyncFleet
) -> None:
    """The old key gives it away and has nothing left to delete."""
    await applied(rows(2))
    first = min(sandbox.endpoints)
    edited = [evolve(rows(1)[0], key="dora"), rows(2)[1]]
    assert endpoints_of(await applied(edited))["dora"] == ("review", None)
    assert (await fleet.import_endpoints({"dora": first}))[0].status == "imported"
    ended = await applied(edited, delete=True)
    assert endpoints_of(ended)["dora"] == ("unchanged", first)
    assert (ended.report.gone, ended.report.exit_status, len(sandbox.endpoints)) == (0, 0, 2)


@pytest.fixture
async def gone_on(applied: Apply) -> list[Row]:
    """Make three rows of which the source has one no more; return the two that it has."""
    names = {"short": "ext1", "long": "ext12", "gone": "bob"}
    rows = [Row(key=key, username=name, alias=key, password="secret") for key, name in names.items()]
    await applied(rows)
    await applied(rows[:2])
    return rows[:2]


@pytest.mark.parametrize(
    ("key", "alias", "reason"),
    [
        ("long", "gone", "endpoint {} has the username {}, but 'long' wants 'ext12'"),
        ("short", "long", "endpoint {} belongs to 'long'"),
        ("nobody", "gone", "the state has no key 'nobody': apply the source first"),
        ("gone", "gone", "the state has no key 'gone': apply the source first"),
    ],
    ids=["another name", "another row's", "unknown key", "key that is gone"],
)
async def test_what_is_refused(
    *,
    gone_on: list[Row],
    applied: Apply,
    sandbox: Sandbox,
    fleet: AsyncFleet,
    key: str,
    alias: str,
    reason: str,
) -> None:
    """The reason is given, and each row keeps its endpoint."""
    before = await fleet.report()
    (endpoint,) = [each for each in sandbox.endpoints.values() if each.alias == alias]
    with pytest.raises(ProvisioningError) as refused:
        await fleet.import_endpoints({key: endpoint.endpoint_id})
    assert str(refused.value) == reason.format(endpoint.endpoint_id, endpoint.username)
    assert await fleet.report() == before
    own = {each.alias: ("unchanged", endpoint_id) for endpoint_id, each in sandbox.endpoints.items()}
    assert endpoints_of(await applied(gone_on)) == {each: own[each] for each in ("short", "long")}


async def test_an_endpoint_that_is_not_there(
    applied: Apply, rows: Rows, sandbox: Sandbox, fleet: AsyncFleet
) -> None:
    """The account has no endpoint with that id, so the row keeps its own."""
    await applied(rows(1))
    with pytest.raises(ProvisioningError, match="the account has no endpoint 12345678901234"):
        await fleet.import_endpoints({"key-1": "12345678901234"})
    assert endpoints_of(await applied(rows(1))) == {"key-1": ("unchanged", min(sandbox.endpoints))}


async def test_a_row_whose_create_is_in_doubt(  # noqa: PLR0917 - fixtures
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, fleet: AsyncFleet, tmp_path: Path
) -> None:
    """Its endpoint would be left over, so the create is decided on first."""
    sandbox.inject(Fault(applied=False, status=503), times=1, method="POST")
    await leave_in_doubt(client, rows(1), tmp_path / "run.db")
    theirs = await client.endpoints.create(username="user1x", password="secret", alias="another")
    with pytest.raises(ProvisioningError, match="a run has not finished with 'key-1': apply the source"):
        await fleet.import_endpoints({"key-1": theirs.endpoint_id})
    # By then it has the row's name, so a person decides whether it is what the lost create made.
    assert endpoints_of(await applied(rows(1)))["key-1"][0] == "review"
    assert (await fleet.import_endpoints({"key-1": theirs.endpoint_id}))[
        0
    ].status == "unprocessed"  # its alias
    assert endpoints_of(await applied(rows(1)))["key-1"] == ("updated", theirs.endpoint_id)


async def test_a_fleet_that_never_began(sandbox: Sandbox, fleet: AsyncFleet, tmp_path: Path) -> None:
    """There is no row to assign to, and no state is created."""
    with pytest.raises(StateError, match="there is no state"):
        await fleet.import_endpoints({"key-1": "12345678901234"})
    assert not (tmp_path / "run.db").exists()
    assert sandbox.requests == ()

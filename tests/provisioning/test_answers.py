"""After the canary, every later response must match its request too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints._resources.endpoints import create_after
from plivo_endpoints.provisioning import (
    CanaryError,
    Row,
    RowState,
    SourceError,
    SqliteState,
    StateError,
    _create,
)
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from plivo_endpoints import AsyncClient, CreatedEndpoint
    from plivo_endpoints._request_models import NewEndpoint
    from plivo_endpoints._resources.endpoints import AsyncEndpoints
    from plivo_endpoints.provisioning import Transition
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"username": "somebody1", "alias": "row-2"', "username is 'somebody1'"),
        ('"username": "user2x1", "alias": "row-2 (2)"', r"Plivo returned the alias 'row-2 \(2\)'"),
    ],
    ids=["name", "alias"],
)
async def test_a_later_endpoint_comes_out_otherwise(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, fields: str, reason: str
) -> None:
    """The run stops at it: if the next response were lost, its endpoint could not be found."""
    body = f'{{"endpoint_id": "123", {fields}, "message": "created"}}'
    with pytest.raises(CanaryError, match=reason):
        async with apply(client, rows(50), state=tmp_path / "run.db", settle=1.0, concurrency=1) as run:
            async for outcome in run:
                if outcome.key == "key-1":
                    sandbox.inject(Fault(applied=True, status=201, body=body), times=1, method="POST")
    assert len(sandbox.endpoints) == 2
    state = SqliteState(tmp_path / "run.db", read_only=True)
    await state.open()
    assert await state.count() == {RowState.CREATED: 2, RowState.NEW: 48}
    await state.close()


@pytest.fixture
def bend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the service add something to each alias from now on."""

    def begin(addition: str) -> None:
        async def create(
            endpoints: AsyncEndpoints, new: NewEndpoint, before_send: Callable[[], Awaitable[float]]
        ) -> CreatedEndpoint:
            return await create_after(endpoints, evolve(new, alias=new.alias + addition), before_send)

        monkeypatch.setattr(_create, "create_after", create)

    return begin


@pytest.fixture
async def on_mismatch(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, bend: Callable[[str], None]
) -> str:
    """Let a run of 50 rows stop at its second endpoint, and return that one's id."""
    with pytest.raises(
        CanaryError, match=r"for 'key-2', alias 'row-2'\): Plivo returned the alias 'row-2 \(2\)'"
    ):
        async with apply(client, rows(50), state=tmp_path / "run.db", settle=0.5, concurrency=1) as run:
            async for _ in run:
                bend(" (2)")
    bend("")
    return max(sandbox.endpoints)


async def test_it_is_still_otherwise(on_mismatch: str, rows: Rows, applied: Apply, sandbox: Sandbox) -> None:
    """Nothing more is created, however often the run is repeated, until a person has decided."""
    for _ in range(2):
        with pytest.raises(CanaryError, match=f"stopped at endpoint {on_mismatch}"):
            await applied(rows(50))
    assert len(sandbox.endpoints) == 2


async def test_it_is_put_right_and_the_next_is_not(
    *,
    on_mismatch: str,
    rows: Rows,
    applied: Apply,
    client: AsyncClient,
    sandbox: Sandbox,
    bend: Callable[[str], None],
) -> None:
    """A corrected endpoint proves nothing: the next is created alone, the others only after it."""
    await client.endpoints.update(on_mismatch, alias="row-2")
    bend(" (2)")
    with pytest.raises(CanaryError, match="for 'key-3'"):
        await applied(rows(50))
    assert len(sandbox.endpoints) == 3
    await client.endpoints.update(max(sandbox.endpoints), alias="row-3")
    bend("")
    ended = await applied(rows(50))
    assert (len(sandbox.endpoints), ended.report.exit_status) == (50, 0)


async def test_it_is_deleted(
    on_mismatch: str, rows: Rows, applied: Apply, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Deletion is a decision too: the others are created, and the audit reports the row without endpoint."""
    await client.endpoints.delete(on_mismatch)
    ended = await applied(rows(50))
    assert (len(sandbox.endpoints), ended.report.counts["review"]) == (49, 1)


async def test_the_row_is_edited_to_what_came_of_it(
    rows: Rows, applied: Apply, sandbox: Sandbox, bend: Callable[[str], None]
) -> None:
    """The endpoint matches then, so the run continues with the next row, at first alone."""
    bend(" (2)")
    with pytest.raises(CanaryError):
        await applied(rows(3))
    with pytest.raises(CanaryError, match="the list shows it with the alias 'row-1 \\(2\\)'"):
        await applied([*reversed(rows(4))])
    bend("")
    ended = await applied([evolve(rows(1)[0], alias="row-1 (2)"), *rows(3)[1:]])
    assert (len(sandbox.endpoints), ended.report.exit_status) == (3, 0)


async def test_nothing_is_left_to_create(
    rows: Rows, applied: Apply, sandbox: Sandbox, bend: Callable[[str], None]
) -> None:
    """Then no proof is needed: the alias is corrected, as if somebody had changed it."""
    bend(" (2)")
    with pytest.raises(CanaryError):
        await applied(rows(1))
    ended = await applied(rows(1))
    assert (len(sandbox.endpoints), ended.report.counts["updated"]) == (1, 1)
    assert [endpoint.alias for endpoint in sandbox.endpoints.values()] == ["row-1"]


async def test_what_is_under_way_when_one_comes_out_otherwise(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, bend: Callable[[str], None]
) -> None:
    """Requests in flight are finished, as they could not be found if lost; no others are started."""
    sandbox.inject(Fault(applied=True, latency=0.3), rate=0.5, method="POST")
    with pytest.raises(CanaryError):
        async with apply(client, rows(50), state=tmp_path / "run.db", settle=1.0, concurrency=8) as run:
            async for _ in run:
                bend(" (2)")
    made = len(sandbox.endpoints)
    assert 1 < made <= 1 + 8
    state = SqliteState(tmp_path / "run.db", read_only=True)
    await state.open()
    assert await state.count() == {RowState.CREATED: made, RowState.NEW: 50 - made}
    await state.close()


@pytest.mark.slow
async def test_each_that_came_out_otherwise_has_to_be_put_right(
    *,
    rows: Rows,
    applied: Apply,
    client: AsyncClient,
    sandbox: Sandbox,
    tmp_path: Path,
    bend: Callable[[str], None],
) -> None:
    """Correcting one of several is not enough."""
    sandbox.inject(Fault(applied=True, latency=0.2), times=9, method="POST")  # so that some are under way
    with pytest.raises(CanaryError):
        async with apply(client, rows(50), state=tmp_path / "run.db", settle=0.5, concurrency=4) as run:
            async for _ in run:
                bend(" (2)")
    bend("")
    bent = [each for each in sandbox.endpoints.values() if each.alias.endswith(" (2)")]
    assert len(bent) > 1
    for endpoint in reversed(bent):
        with pytest.raises(CanaryError):
            await applied(rows(50))
        await client.endpoints.update(endpoint.endpoint_id, alias=endpoint.alias.removesuffix(" (2)"))
    ended = await applied(rows(50))
    assert (len(sandbox.endpoints), ended.report.exit_status) == (50, 0)


class FailingState(SqliteState):
    """Writes no result, as if the process had ended before it could."""

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write everything else."""
        if changes[0][1].made_as and changes[0][0].number > 1:
            raise StateError("the end")
        await super().save(changes)


async def test_a_process_that_ends_with_an_answer_in_its_hands(
    *,
    rows: Rows,
    applied: Apply,
    client: AsyncClient,
    sandbox: Sandbox,
    tmp_path: Path,
    bend: Callable[[str], None],
) -> None:
    """The next process knows of the mismatch; by its alias it would not find the endpoint."""
    with pytest.raises(StateError):
        async with apply(
            client, rows(5), state=FailingState(tmp_path / "run.db"), settle=0.2, concurrency=1
        ) as run:
            async for _ in run:
                bend(" (2)")
    bend("")
    with pytest.raises(CanaryError, match="the list shows it with the alias 'row-2 \\(2\\)'"):
        await applied(rows(5))
    assert len(sandbox.endpoints) == 2
    await client.endpoints.delete(max(sandbox.endpoints))
    ended = await applied(rows(5))
    assert (len(sandbox.endpoints), ended.report.exit_status) == (5, 0)


@pytest.mark.slow
async def test_a_list_that_lags_too_long(rows: Rows, applied: Apply, sandbox: Sandbox) -> None:
    """That the canary is listed by now does not prove that later endpoints will be listed in time."""
    sandbox.list_lag = 60.0
    for passed, made in ((0.0, 1), (1.0, 1), (60.0, 2)):
        sandbox.clock.move(passed)
        with pytest.raises(CanaryError, match="the list did not show it"):
            await applied(rows(5))
        assert len(sandbox.endpoints) == made
    sandbox.clock.move(60.0)
    sandbox.list_lag = 0.5
    ended = await applied(rows(5), settle=2.0)
    assert (len(sandbox.endpoints), ended.report.exit_status) == (5, 0)


@pytest.mark.parametrize("alias", [" row-1", "row-1 ", "row-1\N{NO-BREAK SPACE}"])
async def test_an_alias_with_blanks_around_it(
    applied: Apply, rows: Rows, sandbox: Sandbox, alias: str
) -> None:
    """The service may strip them, and then the endpoint is not found by that alias."""
    with pytest.raises(SourceError, match="alias: must not begin or end with whitespace"):
        await applied([evolve(row, alias=alias) for row in rows(1)])
    assert not sandbox.requests

"""What one row proved, every later answer has to bear out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints.provisioning import CanaryError, Row, SourceError, SqliteJournal, State, apply
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"username": "somebody1", "alias": "row-2"', "named 'somebody1'"),
        ('"username": "user2x1", "alias": "row-2 (2)"', r"alias came out as 'row-2 \(2\)'"),
    ],
    ids=["name", "alias"],
)
async def test_a_later_endpoint_comes_out_otherwise(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, fields: str, reason: str
) -> None:
    """The run stops at it: were the next answer lost, its endpoint could not be found again."""
    body = f'{{"endpoint_id": "123", {fields}, "message": "created"}}'
    with pytest.raises(CanaryError, match=reason):
        async with apply(client, rows(50), journal=tmp_path / "run.db", settle=1.0, concurrency=1) as run:
            async for outcome in run:
                if outcome.key == "key-1":
                    sandbox.inject(Fault(applied=True, status=201, body=body), times=1, method="POST")
    assert len(sandbox.endpoints) == 2
    journal = SqliteJournal(tmp_path / "run.db", read_only=True)
    await journal.open()
    assert await journal.count() == {State.CREATED: 2, State.NEW: 48}
    await journal.close()


@pytest.mark.parametrize("alias", [" row-1", "row-1 ", "row-1\N{NO-BREAK SPACE}"])
async def test_an_alias_with_blanks_around_it(
    applied: Apply, rows: Rows, sandbox: Sandbox, alias: str
) -> None:
    """Whoever keeps it may cut them off, and then nobody finds it by that alias."""
    with pytest.raises(SourceError, match="alias: begins or ends with a blank"):
        await applied([evolve(row, alias=alias) for row in rows(1)])
    assert not sandbox.requests

"""Plivo appends another number of digits than documented: the first create reveals it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from plivo_endpoints.sandbox import Fault
from plivo_endpoints.sandbox._store import EndpointStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Row
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


@pytest.fixture(autouse=True)
def fourteen_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox append fourteen."""

    def next_suffix(store: EndpointStore) -> str:
        store.last_suffix += 1
        return f"{store.last_suffix:014d}"

    monkeypatch.setattr(EndpointStore, "_next_suffix", next_suffix)


def statuses(ended: Ended) -> dict[str, str]:
    """Return what came of each row."""
    return {outcome.key: outcome.status for outcome in ended.outcomes}


@pytest.mark.parametrize("is_allowed", [False, True])
async def test_what_was_there_before(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, *, is_allowed: bool
) -> None:
    """Once it is known, the account is compared again: matching endpoints are not created a second time."""
    for row in rows(4)[1:]:
        await client.endpoints.create(username=row.username, password="secret", alias=row.alias)
    wanted = rows(5)
    ended = await applied(wanted, import_existing=is_allowed)
    status = "imported" if is_allowed else "review"
    assert statuses(ended) == {
        "key-1": "created",
        **dict.fromkeys(["key-2", "key-3", "key-4"], status),
        "key-5": "created",
    }
    assert sorted(each.alias for each in sandbox.endpoints.values()) == [row.alias for row in wanted]
    again = await applied(wanted, import_existing=True)
    assert (again.report.exit_status, len(sandbox.endpoints)) == (0, 5)


async def test_what_was_there_with_the_digits_of_old(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still matches a row, though Plivo now appends another number."""
    with monkeypatch.context() as before:
        before.setattr(EndpointStore, "_next_suffix", Mock(return_value="261127120000"))
        await client.endpoints.create(username="user2x", password="secret", alias="row-2")
    assert statuses(await applied(rows(3))) == {"key-1": "created", "key-2": "review", "key-3": "created"}
    assert len(sandbox.endpoints) == 3


async def test_a_lost_create(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Lost before a response showed the number, it needs review; the next run knows it and adopts it."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    assert statuses(await applied(rows(3))) == {"key-1": "review", "key-2": "created", "key-3": "created"}
    assert statuses(await applied(rows(3)))["key-1"] == "adopted"
    assert len(sandbox.endpoints) == 3


async def test_a_lost_create_of_a_later_row(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """The number is known by then."""
    await applied(rows(1))
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    assert statuses(await applied(rows(3))) == {"key-1": "unchanged", "key-2": "adopted", "key-3": "created"}
    assert len(sandbox.endpoints) == 3

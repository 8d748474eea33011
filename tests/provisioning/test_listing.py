"""A walk over a list that changes knows whether it may have missed an endpoint."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal

import pytest
from attrs import evolve

from plivo_endpoints import Endpoint, Page, PageMeta, ServerError
from plivo_endpoints.provisioning import _outage, _reach
from plivo_endpoints.provisioning._listing import CHANGED, UNREADABLE, Walk, walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning._entries import Found
    from plivo_endpoints.sandbox import Sandbox

Kind = Literal["offset", "cursor", "hybrid"]


async def test_deletes_that_creates_make_up_for(
    client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The total is unchanged, and yet an endpoint moved to a page already read."""
    monkeypatch.setattr(_reach, "PREFETCH", 0)  # so that the change falls between two pages
    sandbox.order = "oldest"
    sandbox.seed(60)
    there = set(sandbox.endpoints)
    met: set[str] = set()
    walk = Walk(client)
    async for page in walk.pages():
        for number in range(0 if met else 2):
            await client.endpoints.delete(min(sandbox.endpoints))
            await client.endpoints.create(username="another", password="secret", alias=f"another-{number}")
        met |= {found.endpoint_id for found in page}
    assert there - met
    assert walk.gap == CHANGED


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("kind", ["offset", "cursor", "hybrid"])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 37, 38, 39, 100])
async def test_a_list_that_rests(
    client: AsyncClient, sandbox: Sandbox, kind: Kind, order: Literal["newest", "oldest"], count: int
) -> None:
    """However it is linked and ordered, and wherever its last page ends, a walk of it is complete."""
    sandbox.pagination, sandbox.order = kind, order
    sandbox.seed(count)
    walk = Walk(client)
    met = {found.endpoint_id async for page in walk.pages() for found in page}
    assert (met, walk.gap) == (set(sandbox.endpoints), None)


@pytest.mark.parametrize("name", ["alias", "username"])
async def test_an_endpoint_that_cannot_be_read(
    client: AsyncClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may belong to any row, so the walk proves no absence; walking again would not help."""
    named = Endpoint(endpoint_id="1", username="alice1", alias="desk")
    odd = evolve(named, endpoint_id="2", extra={name: {}}, **{name: None})
    walks = 0

    async def fetch(_: Mapping[str, int | str]) -> Page[Endpoint]:
        nonlocal walks
        walks += 1
        return Page(objects=(named, odd), meta=PageMeta(limit=20, offset=0, total_count=2))

    async def visit(found: list[Found]) -> None:
        assert ["1"] == [each.endpoint_id for each in found]

    monkeypatch.setattr(client.endpoints, "_fetch_page", fetch)
    assert await walk(client, visit) == UNREADABLE
    assert walks == 1


async def test_a_list_that_comes_to_rest(
    client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets time: walks in quick succession would all meet the same changes."""
    monkeypatch.setattr(_reach, "PREFETCH", 0)
    sandbox.order = "oldest"
    sandbox.seed(60)
    begun = time.monotonic()
    forgotten = 0

    async def visit(_: list[Found]) -> None:
        if time.monotonic() < begun + 0.2:
            await client.endpoints.delete(min(sandbox.endpoints))
            await client.endpoints.create(username="another", password="secret", alias="another")

    async def forget() -> None:
        nonlocal forgotten
        forgotten += 1

    assert await walk(client, visit, forget=forget) is None
    assert 1 <= forgotten <= 2


async def test_a_page_that_is_hard_to_get(
    client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that page is fetched again, however often pages fail during a walk."""
    monkeypatch.setattr(_outage, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(_reach, "PREFETCH", 0)
    sandbox.seed(200)
    fetch, fetched = client.endpoints._fetch_page, Counter[str]()

    async def fetch_at_the_third_attempt(query: Mapping[str, int | str]) -> Page[Endpoint]:
        fetched[str(query)] += 1
        if fetched[str(query)] < 3:
            raise ServerError("busy", status=503, method="GET", path="Endpoint/", api_id=None)
        return await fetch(query)

    async def visit(_: list[Found]) -> None:
        pass

    monkeypatch.setattr(client.endpoints, "_fetch_page", fetch_at_the_third_attempt)
    assert await walk(client, visit) is None
    assert (len(fetched), set(fetched.values())) == (11, {3})

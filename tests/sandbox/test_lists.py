"""Lists: pages, their links, and the three ways to walk."""

from collections.abc import Mapping
from typing import Literal

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox


async def walk(api: aiohttp.ClientSession, path: str, link: str) -> list[str]:
    """Follow `next` or `previous` to the end and return the ids seen."""
    ids: list[str] = []
    following: str | None = path
    while following:
        async with api.get(following) as response:
            page = await response.json()
        ids += [item["endpoint_id"] for item in page["objects"]]
        following = page["meta"][link]
    return ids


@pytest.mark.parametrize("pagination", ["offset", "cursor", "hybrid"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("count", [0, 1, 20, 21, 45])
async def test_a_walk_sees_each_endpoint_once(
    sandbox: Sandbox,
    api: aiohttp.ClientSession,
    pagination: Literal["offset", "cursor", "hybrid"],
    order: Literal["newest", "oldest"],
    count: int,
) -> None:
    """Links followed word for word lead through the whole list, in either order."""
    sandbox.seed(count)
    sandbox.pagination, sandbox.order = pagination, order
    oldest_first = list(sandbox.endpoints)
    expected = oldest_first if order == "oldest" else oldest_first[::-1]
    assert expected == await walk(api, "Endpoint/", "next")


@pytest.mark.parametrize("pagination", ["offset", "cursor", "hybrid"])
async def test_previous_leads_back(
    sandbox: Sandbox, api: aiohttp.ClientSession, pagination: Literal["offset", "cursor", "hybrid"]
) -> None:
    """From the third page, two steps back see the pages in reverse."""
    sandbox.seed(12)
    sandbox.pagination, sandbox.order = pagination, "oldest"
    ids = list(sandbox.endpoints)
    seen = await walk(api, "Endpoint/?limit=5&offset=10", "previous")
    assert ids[10:] + ids[5:10] + ids[:5] == seen


@pytest.mark.parametrize(
    ("pagination", "arguments"),
    [
        ("offset", {"limit", "offset"}),
        ("cursor", {"limit", "cursor"}),
        ("hybrid", {"limit", "offset", "cursor"}),
    ],
)
async def test_meta_of_a_page(
    sandbox: Sandbox,
    api: aiohttp.ClientSession,
    pagination: Literal["offset", "cursor", "hybrid"],
    arguments: set[str],
) -> None:
    """`meta` counts everything, and its links are relative paths with the mode's arguments."""
    sandbox.seed(45)
    sandbox.pagination = pagination
    async with api.get("Endpoint/?offset=20") as response:
        meta = (await response.json())["meta"]
    path, _, query = meta["next"].partition("?")
    assert (meta["limit"], meta["offset"], meta["total_count"]) == (20, 20, 45)
    assert (f"/v1/Account/{sandbox.auth_id}/Endpoint/", arguments) == (
        path,
        {argument.partition("=")[0] for argument in query.split("&")},
    )
    assert meta["previous"] is not None


async def test_an_offset_beside_a_cursor_wins(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """As on Plivo's hybrid deployments, a walk that keeps its offset stays on the first page."""
    sandbox.seed(3)
    sandbox.pagination, sandbox.order = "cursor", "oldest"
    async with api.get("Endpoint/?limit=1") as response:
        following = (await response.json())["meta"]["next"]
    async with api.get(f"{following}&offset=0") as response:
        (pinned,) = (await response.json())["objects"]
    assert next(iter(sandbox.endpoints)) == pinned["endpoint_id"]


async def test_a_cursor_outlives_its_endpoint(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Deleting the endpoint that a cursor points at skips nothing else."""
    sandbox.seed(5)
    sandbox.pagination = "cursor"
    for order in ("oldest", "newest"):
        sandbox.order = "oldest" if order == "oldest" else "newest"
        ids = list(sandbox.endpoints) if order == "oldest" else list(sandbox.endpoints)[::-1]
        async with api.get("Endpoint/?limit=2") as response:
            following = (await response.json())["meta"]["next"]
        async with api.delete(f"Endpoint/{ids[2]}/"):
            pass
        assert ids[3:] == await walk(api, following, "next")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "21"},
        {"limit": "-1"},
        {"limit": ""},
        {"limit": "٢"},
        {"limit": "1" * 5000},
        {"offset": "-1"},
        {"offset": "x"},
        {"offset": "1.5"},
        {"cursor": "x"},
        {"cursor": "ö"},
        {"cursor": "YXQ6MQ"},
        {"cursor": "=" * 99},
    ],
)
async def test_arguments_that_make_no_page(api: aiohttp.ClientSession, query: Mapping[str, str]) -> None:
    """A limit, offset or cursor that cannot be used is a 400 that names it."""
    async with api.get("Endpoint/", params=query) as response:
        answer = await response.json()
    assert (400, next(iter(query))) == (response.status, answer["error"].partition(" ")[0])


async def test_beyond_the_end(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """An offset past the last endpoint is an empty page, not an error."""
    sandbox.seed(3)
    async with api.get("Endpoint/", params={"offset": str(10**17)}) as response:
        page = await response.json()
    assert (
        response.status,
        page["objects"],
        page["meta"]["next"],
        page["meta"]["previous"],
    ) == (200, [], None, None)

"""Walks over lists: each endpoint once, in all three forms of link, at any size."""

from __future__ import annotations

import asyncio
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import pytest

from plivo_endpoints import (
    AsyncClient,
    Client,
    Endpoint,
    ListChangedWarning,
    Page,
    PageMeta,
    ResponseDecodeError,
)
from plivo_endpoints._pagination import AsyncPaginator, search
from plivo_endpoints._resources.endpoints import LIST

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from plivo_endpoints.sandbox import Sandbox

Links = Literal["offset", "cursor", "hybrid"]
PATH = "/v1/Account/MA/Endpoint/"


@pytest.mark.parametrize("prefetch", [0, 1, 7])
@pytest.mark.parametrize("links", ["offset", "cursor", "hybrid"])
@pytest.mark.parametrize("count", [0, 1, 20, 21, 1000])
async def test_a_walk_gives_each_endpoint_once(
    count: int, links: Links, prefetch: int, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Whatever the size, the links and the prefetch."""
    sandbox.seed(count)
    sandbox.pagination = links
    walked = [endpoint.endpoint_id async for endpoint in client.endpoints.list(prefetch=prefetch)]
    assert sorted(sandbox.endpoints) == sorted(walked)
    assert max(1, -(-count // 20)) == len(sandbox.requests)


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_a_walk_begins_where_it_is_told(prefetch: int, client: AsyncClient, sandbox: Sandbox) -> None:
    """With pages of the size asked for."""
    sandbox.seed(50)
    everything = [endpoint.endpoint_id async for endpoint in client.endpoints.list()]
    walk = client.endpoints.list(page_size=7, offset=31, prefetch=prefetch)
    pages = [len(page.objects) async for page in walk.pages()]
    assert [7, 7, 5] == pages
    assert everything[31:] == [endpoint.endpoint_id async for endpoint in walk]


async def test_a_page_lies_where_it_says(client: AsyncClient, sandbox: Sandbox) -> None:
    """Objects as a tuple, and where the next page begins."""
    sandbox.seed(25)
    page = await client.endpoints.list_page(limit=5, offset=10)
    assert (5, 5, 10, 25) == (len(page.objects), page.meta.limit, page.meta.offset, page.meta.total_count)
    assert page.meta.next is not None
    assert page.api_id is not None


async def test_deleting_while_walking_is_told(client: AsyncClient, sandbox: Sandbox) -> None:
    """A walk cannot see what the deletions moved past it, but it can say so."""
    sandbox.seed(100)
    deleted = 0
    with pytest.warns(ListChangedWarning, match="changed while it was read") as told:
        async for endpoint in client.endpoints.list():
            if deleted < 50:
                await client.endpoints.delete(endpoint.endpoint_id)
                deleted += 1
    assert (50, [__file__]) == (deleted, [warning.filename for warning in told])


async def test_pages_tell_of_changes_too(client: AsyncClient, sandbox: Sandbox) -> None:
    """At the loop that walked over them."""
    sandbox.seed(40)
    with pytest.warns(ListChangedWarning) as told:
        async for page in client.endpoints.list().pages():
            await client.endpoints.delete(page.objects[0].endpoint_id)
    assert [__file__] == [warning.filename for warning in told]


def test_a_blocking_walk_tells_each_loop(blocking_client: Client, threaded_sandbox: Sandbox) -> None:
    """Python shows a warning once for each place, so each loop has to be a place of its own."""
    threaded_sandbox.seed(100)
    with pytest.warns(ListChangedWarning) as told:
        for endpoint in blocking_client.endpoints.list():
            if len(threaded_sandbox.endpoints) > 70:
                blocking_client.endpoints.delete(endpoint.endpoint_id)
        for page in blocking_client.endpoints.list().pages():
            blocking_client.endpoints.delete(page.objects[0].endpoint_id)
    assert [__file__] * 2 == [warning.filename for warning in told]
    assert told[0].lineno != told[1].lineno


async def test_creating_while_walking_repeats_nothing(client: AsyncClient, sandbox: Sandbox) -> None:
    """What a create pushes onto the next page is given once, and the change is told."""
    sandbox.seed(60)
    walked: list[str] = []
    with pytest.warns(ListChangedWarning):
        async for endpoint in client.endpoints.list():
            if len(walked) % 20 == 10:
                await client.endpoints.create(username="newcomer", password="s3cret", alias="n")
            walked.append(endpoint.endpoint_id)
    assert len(set(walked)) == len(walked)
    assert 60 == len(walked)


async def test_leaving_early_leaves_no_task_behind(client: AsyncClient, sandbox: Sandbox) -> None:
    """Nor does it ask for more than was under way."""
    sandbox.seed(400)
    async for _ in client.endpoints.list(prefetch=5):
        break
    while len(asyncio.all_tasks()) > _tasks_of_the_server() + 1:
        await asyncio.sleep(0)
    assert 6 >= len(sandbox.requests)


def _tasks_of_the_server() -> int:
    return sum("web_protocol" in repr(task) for task in asyncio.all_tasks())


def pages_of(
    pages: dict[int | str, Page[Endpoint]], asked: list[Any]
) -> Callable[[dict[str, int | str]], Coroutine[Any, Any, Page[Endpoint]]]:
    """Serve prepared pages by offset or cursor, noting what was asked for."""

    async def fetch(query: dict[str, int | str]) -> Page[Endpoint]:
        asked.append(query)
        return pages[query["cursor"] if "cursor" in query else query["offset"]]

    return fetch


def page(ids: str, **meta: Any) -> Page[Endpoint]:
    """Return a page with one endpoint for each letter."""
    return Page(objects=tuple(Endpoint(endpoint_id=name) for name in ids), meta=PageMeta(**meta))


def walk(
    pages: dict[int | str, Page[Endpoint]], asked: list[Any], *, page_size: int = 2, prefetch: int = 0
) -> AsyncPaginator[Endpoint]:
    """Return a paginator over prepared pages."""
    return AsyncPaginator(
        pages_of(pages, asked),
        operation=LIST,
        identify=lambda endpoint: endpoint.endpoint_id,
        page_size=page_size,
        offset=0,
        prefetch=prefetch,
    )


async def ids(paginator: AsyncPaginator[Endpoint]) -> str:
    """Walk, and return the letters."""
    return "".join([endpoint.endpoint_id async for endpoint in paginator])


@pytest.mark.parametrize(
    "link",
    [
        f"{PATH}?limit=2&offset=0",
        f"{PATH}?limit=2&offset=-2",
        f"{PATH}?limit=2&offset=x",
        f"{PATH}?limit=2&offset={'9' * 5000}",
        f"{PATH}?limit=2",
        "nonsense",
        "?offset=²",
    ],
)
async def test_a_page_that_leads_nowhere_new_is_an_error(link: str) -> None:
    """Not a loop, and not an early end."""
    asked: list[Any] = []
    with pytest.raises(ResponseDecodeError, match="next-page link"):
        await ids(walk({0: page("ab", next=link)}, asked))
    assert 1 == len(asked)


async def test_cursors_that_go_in_a_circle_are_an_error() -> None:
    """However long the circle is."""
    asked: list[Any] = []
    pages: dict[int | str, Page[Endpoint]] = {
        0: page("ab", next=f"{PATH}?cursor=one"),
        "one": page("cd", next=f"{PATH}?cursor=two"),
        "two": page("ef", next=f"{PATH}?cursor=one"),
    }
    with pytest.raises(ResponseDecodeError, match="next-page link"):
        await ids(walk(pages, asked))
    assert 3 == len(asked)


async def test_a_cursor_travels_without_an_offset() -> None:
    """A hybrid link's offset would pin the walk to its first page."""
    asked: list[Any] = []
    pages: dict[int | str, Page[Endpoint]] = {
        0: page("ab", next="https://elsewhere.example/v1/?limit=2&offset=2&cursor=c%2B1"),
        "c+1": page("cd", next=None, limit=2),
    }
    assert await ids(walk(pages, asked)) == "abcd"
    assert asked == [{"limit": 2, "offset": 0}, {"limit": 2, "cursor": "c+1"}]


async def test_without_links_a_short_page_is_the_last() -> None:
    """A service that sends no meta is walked by counting."""
    asked: list[Any] = []
    assert await ids(walk({0: page("ab"), 2: page("cd"), 4: page("e")}, asked)) == "abcde"
    assert [0, 2, 4] == [query["offset"] for query in asked]


async def test_a_search_tells_whether_it_can_have_missed_some() -> None:
    """Where the list shrank meanwhile, or ended before its total; a list that grows only repeats."""
    for totals, rest, is_all in (
        ((4, 4), "cd", True),
        ((4, 5), "bcd", True),
        ((4, 3), "cd", False),
        ((5, 5), "cd", False),
    ):
        pages: dict[int | str, Page[Endpoint]] = {
            0: page("ab", next=f"{PATH}?offset=2", total_count=totals[0]),
            2: page(rest, next=None, total_count=totals[1]),
        }
        found, told = await search(walk(pages, []), lambda endpoint: endpoint.endpoint_id in "bd")
        assert ([each.endpoint_id for each in found], told) == (["b", "d"], is_all)


@pytest.mark.parametrize("link", [{"next": f"{PATH}?offset=2"}, {"next": f"{PATH}?cursor=2"}])
async def test_a_list_that_ends_before_its_total_is_told(link: dict[str, str]) -> None:
    """It must not end silently, whatever its pages are linked by."""
    pages: dict[int | str, Page[Endpoint]] = {
        0: page("ab", total_count=100, **link),
        2: page("cd", total_count=100, next=None),
    }
    pages["2"] = pages[2]
    with pytest.warns(ListChangedWarning, match="ended before its reported total"):
        assert await ids(walk(pages, [])) == "abcd"


async def test_find_created_looks_again_where_endpoints_vanished(
    client: AsyncClient, sandbox: Sandbox
) -> None:
    """A deletion during its walk moved the endpoint past it; the next walk finds it."""
    sandbox.order = "oldest"
    sandbox.seed(20)
    made = await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    oldest = next(iter(sandbox.endpoints))
    fetch = client.endpoints._fetch_page

    async def fetch_and_delete(query: Mapping[str, int | str]) -> Page[Endpoint]:
        read = await fetch(query)
        if oldest in sandbox.endpoints:
            await client.endpoints.delete(oldest)
        return read

    with patch.object(client.endpoints, "_fetch_page", fetch_and_delete):
        found = await client.endpoints.find_created(
            username="alice", alias="desk", sent_at=datetime.now(UTC), settle=0
        )
    assert [made.endpoint_id] == [endpoint.endpoint_id for endpoint in found]


async def test_prefetch_keeps_order_and_bounds() -> None:
    """Pages arrive in order however fast each is, and no more than asked for are under way."""
    under_way = most = 0

    async def fetch(query: dict[str, int | str]) -> Page[Endpoint]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        offset = int(query["offset"])
        for _ in range((7 * offset) % 11):
            await asyncio.sleep(0)
        under_way -= 1
        following = f"{PATH}?limit=1&offset={offset + 1}" if offset < 25 else None
        return page(chr(97 + offset), next=following, total_count=26, limit=1)

    paginator = AsyncPaginator(
        fetch, operation=LIST, identify=lambda e: e.endpoint_id, page_size=1, offset=0, prefetch=4
    )
    assert await ids(paginator) == "abcdefghijklmnopqrstuvwxyz"
    assert most == 4


async def test_prefetch_follows_links_that_skip() -> None:
    """Where the links lead elsewhere than counting would, the links are right."""
    asked: list[Any] = []
    pages: dict[int | str, Page[Endpoint]] = {
        0: page("ab", next=f"{PATH}?offset=4", total_count=4),
        2: page("xy", next=f"{PATH}?offset=4", total_count=4),
        4: page("cd", next=None, total_count=4),
    }
    assert await ids(walk(pages, asked, prefetch=2)) == "abcd"


async def test_a_failed_page_ends_the_walk_with_its_error() -> None:
    """The pages before it are given, those under way are dropped."""
    seen: list[str] = []
    pages: dict[int | str, Page[Endpoint]] = {0: page("ab", next=f"{PATH}?offset=2", total_count=6)}
    with pytest.raises(KeyError):
        async for endpoint in walk(pages, [], prefetch=3):
            seen.append(endpoint.endpoint_id)  # noqa: PERF401 - what came before the error counts
    assert ["a", "b"] == seen
    assert 1 == len(asyncio.all_tasks())


async def test_a_long_walk_remembers_little() -> None:
    """Repeats are dropped near where they can happen, in bounded memory."""
    from plivo_endpoints import _pagination  # noqa: PLC0415

    changes = _pagination._Changes[Endpoint](lambda endpoint: endpoint.endpoint_id, 0)
    for number in range(10_000):
        changes.without_repeats(Page(objects=(Endpoint(endpoint_id=str(number)),)))
    assert _pagination._REMEMBERED == len(changes._recent)


def test_the_blocking_walk(blocking_client: Client, threaded_sandbox: Sandbox) -> None:
    """Items and pages, and an early end that leaves nothing behind."""
    threaded_sandbox.seed(45)
    listing = blocking_client.endpoints.list(prefetch=2)
    assert sorted(threaded_sandbox.endpoints) == sorted(endpoint.endpoint_id for endpoint in listing)
    assert [20, 20, 5] == [len(page.objects) for page in listing.pages()]
    for _ in listing:
        break
    iterator = iter(listing)
    next(iterator)
    blocking_client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del iterator

"""The contenders, each written the way its users would write it.

A contender is a context manager that takes a base URL and yields its calls. Blocking ones are driven by
threads, the others by tasks.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from benchmarks.canned import AUTH_ID, AUTH_TOKEN, ENDPOINT_ID, PAGE, ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

# The default allows 290 requests in 5 seconds. This one never makes a call wait, and its window holds about
# as many requests as the default's does.
UNHURRIED: Final = (1_000_000, 0.05)
NEW: Final = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


@frozen
class Calls:
    """The calls of a blocking contender."""

    create: Callable[[], object]
    get: Callable[[], object]
    page: Callable[[], object]
    decode: Callable[[], object] | None = None


@frozen
class AsyncCalls:
    """The calls of a contender on asyncio."""

    create: Callable[[], Awaitable[object]]
    get: Callable[[], Awaitable[object]]
    page: Callable[[], Awaitable[object]]


@asynccontextmanager
async def ours(url: str) -> AsyncGenerator[AsyncCalls]:
    """`plivo_endpoints.AsyncClient`, with all safety features."""
    from plivo_endpoints import AsyncClient, RateLimit

    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=RateLimit(*UNHURRIED)) as client:
        yield AsyncCalls(
            create=partial(client.endpoints.create, **NEW),
            get=partial(client.endpoints.get, ENDPOINT_ID),
            page=client.endpoints.list_page,
        )


@asynccontextmanager
async def naive_aiohttp(url: str) -> AsyncGenerator[AsyncCalls]:
    """Aiohttp as at the beginning of its documentation; the result is a dict."""
    import aiohttp

    headers = {"Authorization": aiohttp.encode_basic_auth(AUTH_ID, AUTH_TOKEN)}

    async with aiohttp.ClientSession(headers=headers) as session:

        async def create() -> object:
            async with session.request("POST", url + ROOT, json=NEW) as response:
                return await response.json()

        async def get() -> object:
            async with session.request("GET", f"{url}{ROOT}{ENDPOINT_ID}/") as response:
                return await response.json()

        async def page() -> object:
            async with session.request("GET", url + ROOT, params={"limit": 20, "offset": 0}) as response:
                return await response.json()

        yield AsyncCalls(create, get, page)


@asynccontextmanager
async def async_httpx(url: str) -> AsyncGenerator[AsyncCalls]:
    """`httpx.AsyncClient`."""
    import httpx

    async with httpx.AsyncClient(auth=(AUTH_ID, AUTH_TOKEN)) as client:

        async def create() -> object:
            return (await client.post(url + ROOT, json=NEW)).json()

        async def get() -> object:
            return (await client.get(f"{url}{ROOT}{ENDPOINT_ID}/")).json()

        async def page() -> object:
            return (await client.get(url + ROOT, params={"limit": 20, "offset": 0})).json()

        yield AsyncCalls(create, get, page)


@contextmanager
def ours_blocking(url: str) -> Generator[Calls]:
    """`plivo_endpoints.Client`, with all safety features; one for all threads."""
    from plivo_endpoints import Client, RateLimit
    from plivo_endpoints._resources.endpoints import LIST
    from plivo_endpoints._sansio.codec import parse_response
    from plivo_endpoints._sansio.messages import Response

    loop_factory = None
    with suppress(ImportError):  # hidden from the contender without the extra `speed`
        from uvloop import new_event_loop

        loop_factory = new_event_loop
    answer = Response(200, PAGE)
    with Client(
        AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=RateLimit(*UNHURRIED), loop_factory=loop_factory
    ) as client:
        yield Calls(
            create=partial(client.endpoints.create, **NEW),
            get=partial(client.endpoints.get, ENDPOINT_ID),
            page=client.endpoints.list_page,
            decode=partial(parse_response, LIST, answer),
        )


@contextmanager
def blocking_requests(url: str) -> Generator[Calls]:
    """A `requests.Session`."""
    import requests

    with requests.Session() as session:
        session.auth = (AUTH_ID, AUTH_TOKEN)
        yield Calls(
            create=lambda: session.post(url + ROOT, json=NEW, timeout=5).json(),
            get=lambda: session.get(f"{url}{ROOT}{ENDPOINT_ID}/", timeout=5).json(),
            page=lambda: session.get(url + ROOT, params={"limit": 20, "offset": 0}, timeout=5).json(),
        )


@contextmanager
def blocking_httpx(url: str) -> Generator[Calls]:
    """`httpx.Client`."""
    import httpx

    with httpx.Client(auth=(AUTH_ID, AUTH_TOKEN)) as client:
        yield Calls(
            create=lambda: client.post(url + ROOT, json=NEW).json(),
            get=lambda: client.get(f"{url}{ROOT}{ENDPOINT_ID}/").json(),
            page=lambda: client.get(url + ROOT, params={"limit": 20, "offset": 0}).json(),
        )


@contextmanager
def official_sdk(url: str) -> Generator[Calls]:
    """Plivo's own SDK; it has no setting for the base URL, so a constant in its module is changed."""
    import plivo
    from plivo.base import ListResponseObject
    from plivo.resources.endpoints import Endpoint
    from plivo.rest import client as module
    from requests import Response

    module.API_VOICE_BASE_URI = f"{url}/v1/Account"
    answer = Response()
    answer.status_code = 200
    answer._content = PAGE  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as requests itself fills it
    with plivo.RestClient(AUTH_ID, AUTH_TOKEN) as client:
        made: Any = client
        yield Calls(
            create=partial(made.endpoints.create, **NEW),
            get=partial(made.endpoints.get, ENDPOINT_ID),
            page=partial(made.endpoints.list, limit=20, offset=0),
            decode=partial(made.process_response, "GET", answer, ListResponseObject, Endpoint),
        )


OURS: Final = "plivo-endpoints"
OURS_FAST: Final = "plivo-endpoints[speed]"
OURS_BLOCKING: Final = "plivo-endpoints, blocking"
OURS_BLOCKING_FAST: Final = "plivo-endpoints[speed], blocking"
AIOHTTP: Final = "aiohttp, naive"
HTTPX: Final = "httpx, async"
HTTPX_BLOCKING: Final = "httpx, blocking"
REQUESTS: Final = "requests"
SDK: Final = "plivo SDK"

ON_ASYNCIO: Final[dict[str, Callable[[str], AbstractAsyncContextManager[AsyncCalls]]]] = {
    OURS: ours,
    OURS_FAST: ours,
    AIOHTTP: naive_aiohttp,
    HTTPX: async_httpx,
}
BLOCKING: Final[dict[str, Callable[[str], AbstractContextManager[Calls]]]] = {
    OURS_BLOCKING: ours_blocking,
    OURS_BLOCKING_FAST: ours_blocking,
    REQUESTS: blocking_requests,
    HTTPX_BLOCKING: blocking_httpx,
    SDK: official_sdk,
}
# One client per thread, so that they do not compete for the ten connections of a `requests.Session`.
ONE_PER_THREAD: Final = frozenset({SDK, REQUESTS})
WITH_SPEED: Final = frozenset({OURS_FAST, OURS_BLOCKING_FAST})

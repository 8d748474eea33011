"""Speed, guarded by what depends neither on the machine nor on its load: function calls and modules."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from plivo_endpoints import AsyncClient
from plivo_endpoints._resources.endpoints import LIST
from plivo_endpoints._sansio.codec import parse_response
from plivo_endpoints._sansio.messages import Response
from plivo_endpoints.provisioning import AsyncFleet, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from types import FrameType

    from plivo_endpoints.sandbox import Sandbox

# Ours by a peer's that does the same: the largest of Python 3.11 to 3.13, a fifth above the least at most.
GET_CALLS = 1.15
CREATE_CALLS = 1.30
PAGE_CALLS = 2.05
ROW_CALLS = 2.30
DECODE_CALLS = 6.35
IMPORTED_MODULES = 0.22
ALLOWANCE = 4 / 3

NEW = {"username": "alice", "password": "s3cret", "alias": "front-desk"}
ITEM = {
    "alias": "desk",
    "application": "/v1/Account/MA0123456789ABCDEFGH/Application/20000000000001/",
    "endpoint_id": "10000000000001",
    "resource_uri": "/v1/Account/MA0123456789ABCDEFGH/Endpoint/10000000000001/",
    "sip_registered": "false",
    "sip_uri": "sip:alice123456789012@phone.plivo.com",
    "sub_account": None,
    "username": "alice123456789012",
}


@pytest.fixture
async def naive(threaded_sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session as aiohttp's documentation makes one."""
    credentials = aiohttp.encode_basic_auth(threaded_sandbox.auth_id, threaded_sandbox.auth_token)
    async with aiohttp.ClientSession(headers={"Authorization": credentials}) as session:
        yield session


@pytest.fixture
async def ours(threaded_sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
    """Give a client of a sandbox whose own calls, in its own thread, do not count."""
    box = threaded_sandbox
    async with AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url) as client:
        yield client


async def calls(function: Callable[[], Awaitable[object]]) -> int:
    """Count the functions, those of C too, that one warm call enters in this thread: the best of a few."""
    return min([await calls_once(function) for _ in range(8)])


async def calls_once(function: Callable[[], Awaitable[object]]) -> int:
    """Count them in one call."""
    entered = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal entered
        entered += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        await function()
    finally:
        sys.setprofile(None)
    return entered


def check(recorded: float, measured: float) -> None:
    """Fail where a ratio is worse than recorded by more than a third."""
    assert measured <= recorded * ALLOWANCE, f"{measured:.2f}, recorded {recorded:.2f}"


async def test_function_calls(
    ours: AsyncClient, naive: aiohttp.ClientSession, threaded_sandbox: Sandbox
) -> None:
    """Get, create and page against naive aiohttp."""
    box = threaded_sandbox
    box.seed(20)
    root = f"{box.base_url}/v1/Account/{box.auth_id}/Endpoint/"
    endpoint_id = next(iter(box.endpoints))

    async def get() -> object:
        async with naive.request("GET", f"{root}{endpoint_id}/") as response:
            return await response.json()

    async def create() -> object:
        async with naive.request("POST", root, json=NEW) as response:
            return await response.json()

    async def page() -> object:
        async with naive.request("GET", root, params={"limit": 20, "offset": 0}) as response:
            return await response.json()

    check(GET_CALLS, await calls(lambda: ours.endpoints.get(endpoint_id)) / await calls(get))
    check(CREATE_CALLS, await calls(lambda: ours.endpoints.create(**NEW)) / await calls(create))
    check(PAGE_CALLS, await calls(ours.endpoints.list_page) / await calls(page))


async def test_function_calls_of_a_row(
    naive: aiohttp.ClientSession, threaded_sandbox: Sandbox, tmp_path: Path
) -> None:
    """A row more in a run, its share of plan and audit included, against a naive create."""
    box = threaded_sandbox

    async def create() -> object:
        root = f"{box.base_url}/v1/Account/{box.auth_id}/Endpoint/"
        async with naive.request("POST", root, json=NEW) as response:
            return await response.json()

    async def provision(count: int) -> None:
        rows = [
            Row(key=f"{count}-{n}", username=f"user{n}x", alias=f"{count}-{n}", password="s3cret")
            for n in range(count)
        ]
        async with (
            AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url, rate_limit=None) as client,
            AsyncFleet(client, tmp_path / f"{count}.db").apply(rows),
        ):
            pass

    # The first imports what the others need.
    _, few, many = [await calls_once(partial(provision, count)) for count in (1, 40, 240)]
    check(ROW_CALLS, (many - few) / 200 / await calls(create))


async def test_function_calls_of_decoding() -> None:
    """A page of 20 against a class that takes the fields as they come."""
    body = json.dumps({"api_id": "a", "meta": {"total_count": 20}, "objects": [ITEM] * 20}).encode()
    answer = Response(200, body)
    plain = attrs.make_class("plain", list(ITEM))

    async def typed() -> object:
        return parse_response(LIST, answer)

    async def untyped() -> object:
        return [plain(**item) for item in json.loads(body)["objects"]]

    check(DECODE_CALLS, await calls(typed) / await calls(untyped))


def test_imported_modules() -> None:
    """`import plivo_endpoints` against the SDK's; asyncio and aiohttp wait until they are needed."""
    check(IMPORTED_MODULES, len(modules("plivo_endpoints")) / len(modules("plivo")))
    assert not {"asyncio", "aiohttp", "anyio", "ssl"} & modules("plivo_endpoints")


def modules(name: str) -> set[str]:
    """Return what an import loads in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); import {name}; print(*set(sys.modules) - before)"
    command = [sys.executable, "-c", script]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())  # noqa: S603

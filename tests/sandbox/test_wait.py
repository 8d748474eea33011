"""A test in another language waits for a phone."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Account, Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Enable the control path."""
    async with Sandbox(control=True, endpoints=2) as running:
        yield running


async def wait(api: aiohttp.ClientSession, registered: str, seconds: str = "20") -> tuple[int, Any]:
    """Wait for a registration and return status and answer."""
    query = {"registered": registered, "timeout": seconds}
    async with api.get("/_sandbox/wait", params=query) as response:
        return response.status, await response.json()


async def waiting(sandbox: Account) -> None:
    """Return once the sandbox has a request that waits."""
    async with asyncio.timeout(20):
        while not sandbox._state.feed._listeners:
            await asyncio.sleep(0)


async def not_waiting(sandbox: Account) -> None:
    """Return once it has none."""
    async with asyncio.timeout(20):
        while sandbox._state.feed._listeners:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["endpoint_id", "username"])
async def test_a_phone_that_registers(sandbox: Sandbox, api: aiohttp.ClientSession, name: str) -> None:
    """The answer comes with the registration, by id or username; others do not count."""
    first, second = sandbox.endpoints.values()
    task = asyncio.create_task(wait(api, getattr(second, name)))
    await waiting(sandbox)
    sandbox.register(first.endpoint_id)
    sandbox.register(second.endpoint_id)
    status, answer = await task
    assert (200, second.endpoint_id, "true") == (status, answer["endpoint_id"], answer["sip_registered"])
    assert (200, answer["sip_contact"]) == (
        (again := await wait(api, second.username, "0"))[0],
        again[1]["sip_contact"],
    )


async def test_a_phone_that_does_not(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The status is 504 when the time is over, and not before."""
    begun = time.monotonic()
    status, answer = await wait(api, next(iter(sandbox.endpoints)), "0.05")
    assert (504, True) == (status, "not registered in time" in answer["error"])
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize(
    ("registered", "seconds", "status"),
    [
        ("", "1", 400),
        ("alice", "1", 404),
        ("{id}", "-1", 400),
        ("{id}", "301", 400),
        ("{id}", "nan", 400),
        ("{id}", "soon", 400),
    ],
)
async def test_a_wait_that_makes_no_sense(
    sandbox: Sandbox, api: aiohttp.ClientSession, registered: str, seconds: str, status: int
) -> None:
    """It is refused at once, also for an endpoint that does not exist."""
    name = registered.format(id=next(iter(sandbox.endpoints)))
    assert status == (await wait(api, name, seconds))[0]


async def test_an_endpoint_that_is_deleted_meanwhile(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """It is not found any more."""
    task = asyncio.create_task(wait(api, next(iter(sandbox.endpoints))))
    await waiting(sandbox)
    sandbox.reset()
    assert 404 == (await task)[0]


async def test_a_client_that_leaves(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Nothing waits for it any longer."""
    task = asyncio.create_task(wait(api, next(iter(sandbox.endpoints)), "300"))
    await waiting(sandbox)
    task.cancel()
    await not_waiting(sandbox)


async def test_a_sandbox_that_stops() -> None:
    """It does not wait for phones, whichever account they belong to."""
    async with aiohttp.ClientSession() as session:
        async with Sandbox(control=True) as sandbox:
            with sandbox.fresh_account() as account:
                account.seed(1)
                authorization = aiohttp.encode_basic_auth(account.auth_id, account.auth_token)
                query = f"timeout=300&registered={next(iter(account.endpoints))}"
                url = f"{sandbox.base_url}/_sandbox/wait?{query}"
                task = asyncio.create_task(session.get(url, headers={"Authorization": authorization}))
                await waiting(account)
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        async with await task as response:
            assert 503 == response.status

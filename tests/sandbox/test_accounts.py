"""Further accounts over HTTP, for tests that run in parallel."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox, _accounts


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Enable the control path."""
    async with Sandbox(control=True, endpoints=1) as running:
        yield running


def basic(auth_id: str, auth_token: str) -> dict[str, str]:
    """Return the headers of a caller."""
    return {"Authorization": aiohttp.encode_basic_auth(auth_id, auth_token)}


async def test_an_account_of_its_own(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """It is empty, has credentials and a control path of its own, and is gone once deleted."""
    async with api.post("/_sandbox/accounts") as response:
        made = await response.json()
    headers = basic(made["auth_id"], made["auth_token"])
    path = f"/v1/Account/{made['auth_id']}/Endpoint/"
    async with api.get(path, headers=headers) as response:
        assert (200, 0) == (response.status, (await response.json())["meta"]["total_count"])
    async with api.post("/_sandbox/seed", json={"count": 2}, headers=headers) as response:
        assert 200 == response.status
    async with api.get("/_sandbox/accounts") as response:
        assert [sandbox.auth_id, made["auth_id"]] == (await response.json())["accounts"]
    async with api.delete(f"/_sandbox/accounts/{made['auth_id']}") as response:
        assert 200 == response.status
    async with api.get(path, headers=headers) as response:
        assert 401 == response.status
    assert 1 == len(sandbox.endpoints)


async def test_only_the_first_account_may(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Other accounts and subaccounts see none of it."""
    subaccount = sandbox.add_subaccount()
    with sandbox.fresh_account() as other:
        for caller in (other, subaccount):
            headers = basic(caller.auth_id, caller.auth_token)
            for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{other.auth_id}")):
                async with api.request(method, f"/_sandbox/accounts{path}", headers=headers) as response:
                    assert (403, True) == (response.status, "only" in (await response.json())["error"])


async def test_what_cannot_be_deleted(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The first account stays; what is no account is not found."""
    subaccount = sandbox.add_subaccount()
    statuses: list[int] = []
    for auth_id in (sandbox.auth_id, subaccount.auth_id, "MA000000000000000000"):
        async with api.delete(f"/_sandbox/accounts/{auth_id}") as response:
            statuses.append(response.status)
    assert [400, 404, 404] == statuses
    async with api.get("Endpoint/") as response:
        assert 200 == response.status


async def test_there_is_a_limit(api: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test suite that deletes none is told so."""
    monkeypatch.setattr(_accounts, "MAX_ACCOUNTS", 2)
    async with api.post("/_sandbox/accounts") as response:
        assert 201 == response.status
    async with api.post("/_sandbox/accounts") as response:
        error = (await response.json()).get("error")
        assert (400, "there are 2 accounts: delete some") == (response.status, error)

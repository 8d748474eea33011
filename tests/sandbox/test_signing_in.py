"""Who may do what: accounts, subaccounts and strangers."""

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox


def basic(auth_id: str, auth_token: str) -> dict[str, str]:
    """Return the headers of a caller."""
    return {"Authorization": aiohttp.encode_basic_auth(auth_id, auth_token)}


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic QQ==", "Basic //8=", "Bearer abc", "Basic Ow=="]
)
async def test_bad_credentials_open_nothing(sandbox: Sandbox, header: str) -> None:
    """Whatever the path, the answer is a 401 without an api_id."""
    async with aiohttp.ClientSession(sandbox.base_url, headers={"Authorization": header}) as session:
        for path in (f"/v1/Account/{sandbox.auth_id}/Endpoint/", "/v1/Account/MA/Nothing/", "/v1/"):
            async with session.get(path) as response:
                assert (401, ["error"]) == (response.status, list(await response.json()))
                assert "X-Request-ID" in response.headers


async def test_a_wrong_token_opens_nothing(sandbox: Sandbox) -> None:
    """The auth_id alone is not enough."""
    path = f"/v1/Account/{sandbox.auth_id}/Endpoint/"
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        for token in ("", "wrong", f"{sandbox.auth_token}x"):
            async with session.get(path, headers=basic(sandbox.auth_id, token)) as response:
                assert 401 == response.status


async def test_credentials_open_their_own_account_only(sandbox: Sandbox) -> None:
    """Another account in the path is a 401, be it known or not."""
    subaccount = sandbox.add_subaccount()
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        for auth_id in (subaccount.auth_id, "MA000000000000000000", "%00"):
            path = f"/v1/Account/{auth_id}/Endpoint/"
            async with session.get(path, headers=basic(sandbox.auth_id, sandbox.auth_token)) as response:
                assert 401 == response.status


async def test_a_subaccount_sees_its_own_endpoints(sandbox: Sandbox) -> None:
    """The account sees all and whose each is; a subaccount finds the rest not there."""
    subaccount = sandbox.add_subaccount()
    sandbox.seed(1)
    (other,) = sandbox.endpoints
    headers = basic(subaccount.auth_id, subaccount.auth_token)
    base = f"{sandbox.base_url}/v1/Account/{subaccount.auth_id}/"
    async with aiohttp.ClientSession(base, headers=headers) as session:
        fields = {"username": "bob", "password": "s3cret", "alias": "bob"}
        async with session.post("Endpoint/", json=fields) as response:
            own = (await response.json())["endpoint_id"]
        async with session.get("Endpoint/", params={"limit": 1}) as response:
            page = await response.json()
        statuses = [(await session.get(f"Endpoint/{endpoint_id}/")).status for endpoint_id in (own, other)]
        async with session.delete(f"Endpoint/{other}/") as response:
            assert 404 == response.status
    assert [own] == [item["endpoint_id"] for item in page["objects"]]
    assert (page["meta"]["total_count"], page["meta"]["next"]) == (1, None)
    assert [200, 404] == statuses
    assert [None, subaccount.auth_id] == [endpoint.sub_account for endpoint in sandbox.endpoints.values()]


async def test_secrets_do_not_show(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """What is remembered of a request holds no password, no token and no field that nobody knows."""
    fields = {"username": "alice", "password": "s3cret-canary", "alias": "a", "pin": ["s3cret-canary"]}
    nested = {"per": {"voice": {"voice": {"voice": "s3cret-canary"}}, "password": "s3cret-canary"}}
    for path, body in (("Endpoint/?token=s3cret-canary", fields), ("JWT/Token/", nested)):
        async with api.post(path, json=body):
            pass
    text = repr(sandbox.requests) + repr(sandbox.add_subaccount())
    assert [False, False] == [secret in text for secret in ("s3cret-canary", sandbox.auth_token)]
    assert [(201, True), (400, False)] == [(record.status, record.applied) for record in sandbox.requests]
    assert {
        "username": "alice",
        "password": "[redacted]",
        "alias": "a",
        "pin": "[redacted]",
    } == sandbox.requests[0].body


async def test_strangers_are_remembered_too(sandbox: Sandbox) -> None:
    """A request without credentials counts for the account in its path."""
    async with aiohttp.ClientSession(sandbox.base_url) as session, session.get("/v1/Account/x/Endpoint/"):
        pass
    (record,) = sandbox.requests
    assert (
        record.method,
        record.path,
        record.status,
        record.auth_id,
    ) == ("GET", "/v1/Account/x/Endpoint/", 401, None)

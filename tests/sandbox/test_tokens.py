"""Tokens, read by PyJWT."""

from typing import Any

import aiohttp
import jwt
import pytest

from plivo_endpoints.sandbox import Sandbox


def read_token(token: str, key: str | None) -> dict[str, Any]:
    """Return the claims, verified if there is a key."""
    # PyJWT names types of `cryptography`, which it works without.
    return jwt.decode(  # pyright: ignore[reportUnknownMemberType]
        token, key or "", algorithms=["HS256"], options={"verify_signature": key is not None}
    )


async def test_a_token_with_everything(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Header and claims are the documented ones, signed with the auth_token."""
    now = int(sandbox.clock.now().timestamp())
    voice = {"incoming_allow": True, "outgoing_allow": True}
    asked = {"sub": "alice", "nbf": now, "exp": now + 180, "per": {"voice": voice}, "app": "77"}
    async with api.post("JWT/Token/", json=asked | {"iss": sandbox.auth_id}) as response:
        answer = await response.json()
    claims = read_token(answer["token"], sandbox.auth_token)
    assert (200, ["api_id", "token"]) == (response.status, list(answer))
    assert {"alg": "HS256", "cty": "plivo;v=1", "typ": "JWT"} == jwt.get_unverified_header(answer["token"])
    assert claims == asked | {"iss": sandbox.auth_id}
    assert (claims,) == sandbox.tokens


async def test_what_a_token_leaves_out_is_filled_in(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Absent claims are empty, now, 24 hours on, and false."""
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id}) as response:
        token = (await response.json())["token"]
    claims = read_token(token, sandbox.auth_token)
    nothing = {"incoming_allow": False, "outgoing_allow": False}
    assert ("", "", {"voice": nothing}) == (claims["app"], claims["sub"], claims["per"])
    assert 86_400 == claims["exp"] - claims["nbf"]
    assert abs(sandbox.clock.now().timestamp() - claims["nbf"]) < 60


async def test_the_clock_says_when_a_token_begins(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """A moved clock moves `nbf`."""
    before = sandbox.clock.now().timestamp()
    sandbox.clock.move(7200)
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id}) as response:
        token = (await response.json())["token"]
    nbf = read_token(token, None)["nbf"]
    assert 7199 <= nbf - before < 7260


async def test_epoch_seconds_may_come_as_text(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The official Python SDK sends them so; the token has integers."""
    asked = {"iss": sandbox.auth_id, "nbf": "1700000000", "exp": "1700000180"}
    async with api.post("JWT/Token/", json=asked) as response:
        token = (await response.json())["token"]
    claims = read_token(token, None)
    assert (claims["nbf"], claims["exp"]) == (1_700_000_000, 1_700_000_180)


NBF = 1_700_000_000


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"iss": "MA000000000000000000"}, "iss"),
        ({"iss": None}, "iss"),
        ({"nbf": NBF, "exp": NBF + 179}, "exp"),
        ({"nbf": NBF, "exp": NBF + 86_401}, "exp"),
        ({"nbf": NBF, "exp": NBF - 1}, "exp"),
        ({"nbf": True}, "nbf"),
        ({"nbf": 1.5}, "nbf"),
        ({"nbf": -1}, "nbf"),
        ({"nbf": 10**30}, "nbf"),
        ({"exp": "tomorrow"}, "exp"),
        ({"sub": 7}, "sub"),
        ({"app": 7}, "app"),
        ({"per": {"incoming_allow": True}}, "per"),
        ({"per": "voice"}, "per"),
        ({"per": {"voice": {"incoming": True}}}, "voice"),
        ({"per": {"voice": {"outgoing_allow": "false"}}}, "outgoing_allow"),
        ({"per": {"voice": {"incoming_allow": True}}}, "sub"),
    ],
)
async def test_a_token_against_the_rules(
    sandbox: Sandbox, api: aiohttp.ClientSession, fields: dict[str, object], named: str
) -> None:
    """The answer is a 400 whose text begins with the field's name, and nothing is minted."""
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id} | fields) as response:
        answer = await response.json()
    assert (400, ["api_id", "error"]) == (response.status, list(answer))
    assert named == answer["error"].partition(" ")[0]
    assert () == sandbox.tokens


async def test_a_subaccount_signs_with_its_own_token(sandbox: Sandbox) -> None:
    """The key and the issuer are the caller's."""
    subaccount = sandbox.add_subaccount()
    headers = {"Authorization": aiohttp.encode_basic_auth(subaccount.auth_id, subaccount.auth_token)}
    url = f"{sandbox.base_url}/v1/Account/{subaccount.auth_id}/JWT/Token/"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json={"iss": subaccount.auth_id}) as response,
    ):
        token = (await response.json())["token"]
    claims = read_token(token, subaccount.auth_token)
    assert claims["iss"] == subaccount.auth_id

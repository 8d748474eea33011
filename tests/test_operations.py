"""Every operation, over HTTP, against the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
import pytest

from plivo_endpoints import (
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    Client,
    NotFoundError,
    TokenClaims,
)

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


async def test_a_created_endpoint_is_there(client: AsyncClient, sandbox: Sandbox) -> None:
    """Create answers with the name that Plivo made, and get finds it."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="Test Account")
    found = await client.endpoints.get(made.endpoint_id)
    assert (made.endpoint_id, made.username, "Test Account", False) == (
        found.endpoint_id,
        found.username,
        found.alias,
        found.sip_registered,
    )
    assert made.username.removeprefix("alice").isdigit()
    assert made.message == "created"
    assert list(sandbox.endpoints) == [made.endpoint_id]


async def test_an_application_is_attached_by_its_id(client: AsyncClient) -> None:
    """The request says app_id, the answer only a URI."""
    made = await client.endpoints.create(username="bob", password="s3cret", alias="b", app_id="12345")
    assert (await client.endpoints.get(made.endpoint_id)).application_id == "12345"


async def test_the_password_hash_is_dropped(client: AsyncClient) -> None:
    """The MD5 that get returns for an unregistered endpoint is nowhere in the model."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
    found = await client.endpoints.get(made.endpoint_id)
    assert {} == found.extra
    assert "33e1b232a4e6fa0028a6670753749a17" not in repr(found)


async def test_a_registered_endpoint_tells_of_its_phone(client: AsyncClient, sandbox: Sandbox) -> None:
    """Booleans come as booleans, times as aware UTC."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
    sandbox.register(made.endpoint_id)
    found = await client.endpoints.get(made.endpoint_id)
    assert found.sip_registered is True
    assert found.sip_expires is not None
    assert found.sip_expires.utcoffset() == timedelta(0)
    assert found.sip_contact is not None


async def test_an_update_changes_only_what_it_names(client: AsyncClient) -> None:
    """`None` leaves a field as it is."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a", app_id="77")
    done = await client.endpoints.update(made.endpoint_id, alias="lobby")
    found = await client.endpoints.get(made.endpoint_id)
    assert ("changed", "lobby", "77") == (done.message, found.alias, found.application_id)


async def test_a_deleted_endpoint_is_gone(client: AsyncClient) -> None:
    """Deleting is for ever, and deleting again finds nothing."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
    await client.endpoints.delete(made.endpoint_id)
    for call in (client.endpoints.get, client.endpoints.delete):
        with pytest.raises(NotFoundError) as missing:
            await call(made.endpoint_id)
        assert (404, "not found", 1) == (missing.value.status, missing.value.message, missing.value.attempts)
        assert missing.value.api_id


async def test_wrong_credentials_are_told(sandbox: Sandbox) -> None:
    """A 401 is raised at once and says what it knows."""
    async with AsyncClient(sandbox.auth_id, "wrong", base_url=sandbox.base_url) as stranger:
        with pytest.raises(AuthenticationError) as refused:
            await stranger.endpoints.get("1")
    assert (401, "GET", "Endpoint/{endpoint_id}/", 1) == (
        refused.value.status,
        refused.value.method,
        refused.value.path,
        refused.value.attempts,
    )


async def test_plivos_own_refusal_comes_through(sandbox: Sandbox) -> None:
    """What only Plivo knows to refuse is told with the field's name."""
    sandbox.strict_alias = True
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
        with pytest.raises(BadRequestError, match="alias"):
            await client.endpoints.create(username="alice", password="s3cret", alias="two words")


async def test_a_token_says_what_was_asked(client: AsyncClient, sandbox: Sandbox) -> None:
    """PyJWT verifies it, and our own reading agrees."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    token = await client.tokens.create(
        sub="alice1", nbf=start, lifetime=timedelta(hours=1), app="42", outgoing_allow=True
    )
    verified = jwt.decode(token.jwt, sandbox.auth_token, algorithms=["HS256"])
    assert {"incoming_allow": False, "outgoing_allow": True} == verified["per"]["voice"]
    assert int(start.timestamp()) == verified["nbf"]
    assert token.claims == TokenClaims(
        iss=sandbox.auth_id,
        sub="alice1",
        nbf=start,
        exp=start + timedelta(hours=1),
        app="42",
        incoming_allow=False,
        outgoing_allow=True,
    )
    assert start + timedelta(hours=1) == token.expires_at
    assert token.jwt not in repr(token)


async def test_a_bare_token_lasts_a_day(client: AsyncClient) -> None:
    """Without any argument Plivo's own defaults apply."""
    token = await client.tokens.create()
    assert token.claims is not None
    assert token.claims.exp is not None
    assert token.claims.nbf is not None
    assert timedelta(hours=24) == token.claims.exp - token.claims.nbf
    assert token.claims.sub is None


async def test_an_end_brings_its_start_along(client: AsyncClient) -> None:
    """With exp given, nbf is sent too, as whole seconds."""
    end = int(datetime.now(UTC).timestamp()) + 3600
    token = await client.tokens.create(sub="a", exp=end)
    assert token.claims is not None
    assert token.claims.exp == datetime.fromtimestamp(end, UTC)
    assert token.claims.nbf is not None


def test_the_blocking_client_does_the_same(blocking_client: Client) -> None:
    """The same names and results, without async and await."""
    made = blocking_client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert made.username == blocking_client.endpoints.get(made.endpoint_id).username
    assert blocking_client.endpoints.update(made.endpoint_id, alias="b").message == "changed"
    assert [made.endpoint_id] == [endpoint.endpoint_id for endpoint in blocking_client.endpoints.list()]
    assert blocking_client.endpoints.list_page(limit=1).meta.total_count == 1
    assert blocking_client.tokens.create(sub=made.username).claims is not None
    blocking_client.endpoints.delete(made.endpoint_id)
    with pytest.raises(NotFoundError):
        blocking_client.endpoints.get(made.endpoint_id)

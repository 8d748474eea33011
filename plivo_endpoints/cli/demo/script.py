"""The code that the demo runs and shows, statement by statement."""

# ruff: noqa: S106 - passwords for a sandbox only

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient, Client


async def with_async_client(client: AsyncClient) -> None:
    """The async client, inside `async with AsyncClient() as client:`."""
    # Create an endpoint. Plivo appends digits to the username.
    made = await client.endpoints.create(username="alice", password="s3cret", alias="front-desk")

    # Read it back.
    await client.endpoints.get(made.endpoint_id)

    # Change its alias.
    await client.endpoints.update(made.endpoint_id, alias="lobby")

    # List all 45 endpoints, page after page.
    sizes = [len(page.objects) async for page in client.endpoints.list().pages()]
    sum(sizes)

    # Mint a token with which a browser can log in as alice for an hour, and read when it expires.
    hour = timedelta(hours=1)
    token = await client.tokens.create(sub=made.username, outgoing_allow=True, lifetime=hour)
    str(token.expires_at)

    # Delete the endpoint.
    await client.endpoints.delete(made.endpoint_id)


def with_blocking_client(client: Client) -> None:
    """The blocking client, inside `with Client() as client:`."""
    # The same calls, without async and await.
    made = client.endpoints.create(username="alice", password="s3cret", alias="front-desk")
    client.endpoints.get(made.endpoint_id)
    client.endpoints.update(made.endpoint_id, alias="lobby")
    sizes = [len(page.objects) for page in client.endpoints.list().pages()]
    sum(sizes)
    hour = timedelta(hours=1)
    token = client.tokens.create(sub=made.username, outgoing_allow=True, lifetime=hour)
    str(token.expires_at)
    client.endpoints.delete(made.endpoint_id)


def with_errors(client: Client) -> None:
    """What errors look like."""
    # A mistake of yours, found before anything is sent.
    client.endpoints.create(username="7alice", password="s3cret", alias="front-desk")

    # An error from Plivo.
    client.endpoints.get("18406780198123")


def with_a_lost_answer(client: Client) -> None:
    """What a lost answer looks like: the sandbox creates the endpoint, then drops the connection."""
    # The create is not sent again. Its error says that the endpoint may exist.
    begun = datetime.now(UTC)
    client.endpoints.create(username="bob", password="s3cret", alias="desk-7")

    # So do not repeat it: look for it.
    client.endpoints.find_created(username="bob", alias="desk-7", sent_at=begun)

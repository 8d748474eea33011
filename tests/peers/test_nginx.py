"""A real nginx between client and sandbox: what a gateway does to requests and answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import (
    AsyncClient,
    AttemptFinished,
    Event,
    OutcomeUnknownError,
    ServerError,
)
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable


def outcomes(events: list[Event]) -> Counter[str]:
    """Count how attempts ended."""
    return Counter(event.outcome for event in events if isinstance(event, AttemptFinished))


async def test_every_operation_through_nginx(sandbox: Sandbox, nginx: Callable[..., str]) -> None:
    """Its framing, its headers and its keep-alive are none of our own making."""
    url = nginx(sandbox.base_url)
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=url) as client:
        made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
        assert made.username == (await client.endpoints.get(made.endpoint_id)).username
        assert (await client.endpoints.update(made.endpoint_id, alias="b")).message == "changed"
        assert [made.endpoint_id] == [each.endpoint_id async for each in client.endpoints.list()]
        assert (await client.tokens.create(sub=made.username)).claims is not None
        await client.endpoints.delete(made.endpoint_id)
    assert {} == dict(sandbox.endpoints)


@pytest.mark.slow
async def test_connections_that_nginx_ends_lose_no_create(
    sandbox: Sandbox, nginx: Callable[..., str]
) -> None:
    """It closes a connection after three requests, again and again, and nothing is lost or doubled."""
    url = nginx(sandbox.base_url, server="keepalive_requests 3;")
    events: list[Event] = []
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=url, rate_limit=None, on_event=events.append
    ) as client:
        for number in range(100):
            await client.endpoints.create(username=f"user{number}", password="s3cret", alias="a")
        await asyncio.gather(
            *[
                client.endpoints.create(username=f"many{number}", password="s3cret", alias="a")
                for number in range(100)
            ]
        )
    assert 200 == len(sandbox.endpoints)
    assert 200 == outcomes(events)["done"]
    assert 0 == outcomes(events)["ambiguous"]


async def test_a_gateway_timeout_hides_a_create_that_happened(
    sandbox: Sandbox, nginx: Callable[..., str]
) -> None:
    """A 504 page is an unknown outcome, and the endpoint is found by its name."""
    url = nginx(sandbox.base_url, location="proxy_read_timeout 200ms;")
    sandbox.inject(Fault(applied=True, latency=5.0), times=1)
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=url) as client:
        with pytest.raises(OutcomeUnknownError) as unknown:
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
        lost = unknown.value
        assert (504, 1) == (lost.status, len(sandbox.endpoints))
        found = await client.endpoints.find_created(
            username=lost.username, alias=lost.alias, sent_at=lost.sent_at
        )
    assert list(sandbox.endpoints) == [endpoint.endpoint_id for endpoint in found]


async def test_a_dead_upstream_is_a_server_error(nginx: Callable[..., str]) -> None:
    """Its HTML is told in bounded text, after three attempts; a create is sent once."""
    url = nginx("http://127.0.0.1:1")
    async with AsyncClient("MA0123456789ABCDEFGH", "token", base_url=url) as client:
        with pytest.raises(ServerError, match="502 Bad Gateway") as failed:
            await client.endpoints.get("1")
        assert (502, 3) == (failed.value.status, failed.value.attempts)
        with pytest.raises(OutcomeUnknownError) as unknown:
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
        assert (502, 1) == (unknown.value.status, unknown.value.attempts)


@pytest.mark.slow
async def test_nginx_throttles_and_nothing_is_lost(sandbox: Sandbox, nginx: Callable[..., str]) -> None:
    """Its 429 carries no Retry-After: all callers pause, back off and get through."""
    url = nginx(
        sandbox.base_url,
        http="limit_req_zone all zone=z:1m rate=20r/s;\nlimit_req_status 429;",
        location="limit_req zone=z burst=10 nodelay;",
    )
    events: list[Event] = []
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=url, on_event=events.append, timeout=60
    ) as client:
        await asyncio.gather(
            *[
                client.endpoints.create(username=f"user{number}", password="s3cret", alias="a")
                for number in range(30)
            ]
        )
    assert (30, 30) == (len(sandbox.endpoints), outcomes(events)["done"])
    assert outcomes(events)["throttled"] > 0

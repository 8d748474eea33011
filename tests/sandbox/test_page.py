"""The page at the root, over HTTP."""

import asyncio
import json
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Registration, Sandbox


async def next_event(response: aiohttp.ClientResponse) -> Any:
    """Return what the next server-sent event says."""
    while True:
        line = await asyncio.wait_for(response.content.readline(), 5)
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))


class Sources(HTMLParser):
    """Collects whatever a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        _ = tag
        self.found += [value for name, value in attrs if name in ("src", "href")]


async def test_the_page_needs_nothing_else(sandbox: Sandbox) -> None:
    """One HTML file, which loads nothing and is kept from it by its policy."""
    async with aiohttp.ClientSession(sandbox.base_url) as session, session.get("/") as response:
        html = await response.text()
    sources = Sources()
    sources.feed(html)
    assert (response.status, response.content_type) == (200, "text/html")
    assert ["data:,"] == sources.found
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_events_follow_the_state(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The first event is the state, the next comes with a change, from wherever; no secret is in them."""
    async with api.get("/_page/events") as events:
        first = await next_event(events)
        fields = {"username": "alice", "password": "s3cret-canary", "alias": "a"}
        async with api.post("Endpoint/", json=fields):
            pass
        second = await next_event(events)
        (endpoint_id,) = sandbox.endpoints
        sandbox.register(endpoint_id)
        third = await next_event(events)
    assert (first["total"], first["endpoints"], first["requests"]) == (0, [], [])
    assert ["false"] == [each["sip_registered"] for each in second["endpoints"]]
    assert [("POST", 201)] == [(each["method"], each["status"]) for each in second["requests"]]
    assert ["true"] == [each["sip_registered"] for each in third["endpoints"]]
    shown = json.dumps([first, second, third])
    secrets = ("s3cret-canary", sandbox.endpoints[endpoint_id].password, sandbox.auth_token)
    assert [False] * 3 == [secret in shown for secret in secrets]


async def test_a_click_registers(sandbox: Sandbox) -> None:
    """The buttons need no credentials, but a header that other sites cannot send."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    path = f"/_page/endpoints/{endpoint_id}/"
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        async with session.post(f"{path}register") as response:
            assert 403 == response.status
        async with session.post(f"{path}register", headers={"X-Sandbox-Page": "1"}) as response:
            assert (response.status, sandbox.endpoints[endpoint_id].sip_registered) == (200, True)
        async with session.post(f"{path}unregister", headers={"X-Sandbox-Page": "1"}) as response:
            assert (response.status, sandbox.endpoints[endpoint_id].sip_registered) == (200, False)


async def test_a_registration_that_ends(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that does not register again disappears from the page by itself."""
    monkeypatch.setattr("plivo_endpoints.sandbox._page._SECONDS_BETWEEN_LOOKS", 0.01)
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    expires = sandbox.clock.now() + timedelta(seconds=60)
    phone = Registration(
        contact="sip:a@192.0.2.1", expires=expires, user_agent="Phone", source="192.0.2.1:5060 (UDP)"
    )
    sandbox._state.store.set_registration(endpoint_id, phone)
    async with (
        aiohttp.ClientSession(sandbox.base_url) as session,
        session.get("/_page/events") as events,
    ):
        first = await next_event(events)
        sandbox.clock.move(61)
        second = await next_event(events)
    assert [("true", "192.0.2.1:5060 (UDP)", "Phone"), ("false", None, None)] == [
        (each["sip_registered"], each["sip_source"], each.get("sip_user_agent"))
        for each in (first["endpoints"][0], second["endpoints"][0])
    ]


async def test_a_silent_stream_lives(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments keep the connection from looking dead."""
    monkeypatch.setattr("plivo_endpoints.sandbox._page._SECONDS_BETWEEN_LOOKS", 0.001)
    async with aiohttp.ClientSession(sandbox.base_url) as session, session.get("/_page/events") as events:
        await next_event(events)
        lines = [await asyncio.wait_for(events.content.readline(), 5) for _ in range(4)]
    assert b": still here\n" in lines


def test_stopping_drops_the_watchers() -> None:
    """A page that is still open does not hold the sandbox up."""

    async def watch(base_url: str) -> None:
        async with aiohttp.ClientSession(base_url) as session, session.get("/_page/events") as events:
            await next_event(events)

    with Sandbox() as sandbox:
        asyncio.run(watch(sandbox.base_url))

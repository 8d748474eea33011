"""Plivo's own browser SDK, in a real browser, logs in to the sandbox."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from plivo_endpoints import AsyncClient
from plivo_endpoints.sandbox import Sandbox
from tests.browser import Browser, running_browser
from tests.sip.browser_sdk import NEEDS_SDK, SDK
from tests.sip.phones import seeded

PAGE = Path(__file__).with_name("phone.html")
pytestmark = NEEDS_SDK


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    """Serve an account with one endpoint, whose password is `password-1`."""
    async with Sandbox(endpoints=1, sip=True) as sandbox:
        yield sandbox


@pytest.fixture
async def phone(account: Sandbox) -> AsyncIterator[Browser]:
    """Open a page with the SDK, which another port than the sandbox's serves."""
    app = web.Application()
    app.router.add_get("/", _show(PAGE))
    app.router.add_get("/sdk.js", _show(Path(str(SDK))))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with running_browser() as page:
            query = urlencode({"signalling": account.signalling_url})
            await page.call("Page.navigate", url=f"http://127.0.0.1:{port}/?{query}")
            await page.until("document.title === 'ready'")
            yield page
    finally:
        await runner.cleanup()


def _show(file: Path) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def show(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    return show


async def mint(account: Sandbox, lifetime: timedelta) -> str:
    """Mint a token for the endpoint."""
    async with AsyncClient(account.auth_id, account.auth_token, base_url=account.base_url) as client:
        token = await client.tokens.create(
            sub=seeded(account).username, incoming_allow=True, outgoing_allow=True, lifetime=lifetime
        )
    return token.jwt


async def test_with_a_password(account: Sandbox, phone: Browser) -> None:
    """It is logged in, which the sandbox shows; it stays so; after the logout it is not."""
    await phone.evaluate(f"client.login({seeded(account).username!r}, 'password-1')")
    await phone.until("document.title === 'logged in'")
    found = seeded(account).registration
    assert found is not None
    assert found.user_agent.startswith("plivo-browser-sdk")
    assert "(WS)" in (found.source or "")
    # Every 5 seconds it asks whether the server is alive, and takes any other answer for a no.
    await phone.evaluate(
        """void client.phone.on("newMessage", ({message}) =>
            message.on("failed", ({cause}) => { document.body.dataset.alive = cause; }))"""
    )
    await phone.until("document.body.dataset.alive === 'Not Found'")
    assert "connected" == await phone.evaluate("document.body.dataset.connection")
    assert found == seeded(account).registration
    assert await phone.evaluate("client.logout()")
    await phone.until("document.title === 'logged out'")
    assert not seeded(account).sip_registered


async def test_with_a_wrong_password(account: Sandbox, phone: Browser) -> None:
    """The page learns why; the next attempt with the right one works."""
    await phone.evaluate(f"client.login({seeded(account).username!r}, 'password-2')")
    await phone.until("document.title.startsWith('login failed')")
    assert "login failed: Authentication Error" == await phone.evaluate("document.title")
    assert not seeded(account).sip_registered
    await phone.evaluate(f"client.login({seeded(account).username!r}, 'password-1')")
    await phone.until("document.title === 'logged in'")
    assert seeded(account).sip_registered


async def test_with_a_token(account: Sandbox, phone: Browser) -> None:
    """A token of the API logs in its subject; the SDK knows when it ends."""
    token = await mint(account, timedelta(hours=1))
    assert await phone.evaluate(f"client.loginWithAccessToken({token!r})")
    await phone.until("document.title === 'logged in'")
    assert seeded(account).sip_registered
    assert account.tokens[-1]["exp"] == await phone.evaluate("client.getTokenExpiryTimeInEpoch()") / 1000
    assert await phone.evaluate("client.logout()")
    await phone.until("document.title === 'logged out'")
    assert not seeded(account).sip_registered


async def test_with_an_expired_token(account: Sandbox, phone: Browser) -> None:
    """The page learns that it is expired."""
    token = await mint(account, timedelta(minutes=3))
    account.clock.move(181)
    await phone.evaluate(f"client.loginWithAccessToken({token!r})")
    await phone.until("document.title.startsWith('login failed')")
    assert "login failed: ACCESS_TOKEN_EXPIRED" == await phone.evaluate("document.title")
    assert not seeded(account).sip_registered

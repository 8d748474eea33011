"""The page in headless Chromium, driven through its DevTools protocol; skipped where there is none."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from plivo_endpoints.sandbox import Fault, Registration, Sandbox
from tests.browser import CHROMIUM, Browser, running_browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium, and end it."""
    async with running_browser() as page:
        yield page


async def create(api: aiohttp.ClientSession, username: str) -> str:
    """Make an endpoint and return its id."""
    fields = {"username": username, "password": "s3cret", "alias": f"{username}-desk"}
    async with api.post("Endpoint/", json=fields) as response:
        endpoint_id: str = (await response.json())["endpoint_id"]
        return endpoint_id


async def test_a_create_appears_and_a_click_registers(
    sandbox: Sandbox, api: aiohttp.ClientSession, browser: Browser
) -> None:
    """Without reloading, a create shows up; "Register" makes the API say `sip_registered` true."""
    await browser.call("Page.navigate", url=sandbox.base_url)
    await browser.until("document.querySelector('#link.live') !== null")
    assert 0 == await browser.evaluate("document.querySelectorAll('#endpoints tr').length")
    endpoint_id = await create(api, "alice")
    row = f"document.querySelector('[data-key=\"{endpoint_id}\"]')"
    await browser.until(f"{row} !== null")
    await browser.evaluate(f"{row}.querySelector('button').click()")
    await browser.until(f"{row}.textContent.includes('Unregister')")
    async with api.get(f"Endpoint/{endpoint_id}/") as response:
        assert "true" == (await response.json())["sip_registered"]


async def test_the_keyboard_is_enough(sandbox: Sandbox, api: aiohttp.ClientSession, browser: Browser) -> None:
    """Tab reaches the button, Enter presses it, and it keeps the focus while rows come in."""
    endpoint_id = await create(api, "alice")
    await browser.call("Page.navigate", url=sandbox.base_url)
    row = f"document.querySelector('[data-key=\"{endpoint_id}\"]')"
    await browser.until(f"{row} !== null")
    await browser.press("Tab")
    await browser.press("Enter")
    await browser.until(f"{row}.textContent.includes('Unregister')")
    await create(api, "bob")
    await browser.until("document.querySelectorAll('#endpoints tr').length === 2")
    assert await browser.evaluate(f"document.activeElement === {row}.querySelector('button')")
    assert sandbox.endpoints[endpoint_id].sip_registered


async def test_what_others_send_stays_text(
    sandbox: Sandbox, api: aiohttp.ClientSession, browser: Browser
) -> None:
    """Markup in an alias or a path is shown, not run."""
    markup = "<img src=x onerror=document.title='taken'>"
    fields = {"username": "mallory", "password": "s3cret", "alias": markup}
    async with api.post("Endpoint/", json=fields), api.get(f"Endpoint/{markup}/"):
        pass
    await browser.call("Page.navigate", url=sandbox.base_url)
    await browser.until("document.querySelectorAll('#requests tr').length === 2")
    assert ["Plivo sandbox", 0] == await browser.evaluate("[document.title, document.images.length]")
    assert await browser.evaluate("document.body.textContent.includes('<img src=x')")


async def test_a_phone_is_shown(sandbox: Sandbox, api: aiohttp.ClientSession, browser: Browser) -> None:
    """Who is registered, with what, from where and until when; its markup stays text; it goes as it came."""
    endpoint_id = await create(api, "alice")
    phone = Registration(
        contact="sip:alice@192.0.2.7:5060;ob",
        expires=sandbox.clock.now() + timedelta(seconds=120),
        user_agent="<b>Phone</b> 1.0",
        source="192.0.2.7:5060 (UDP)",
    )
    sandbox._state.store.set_registration(endpoint_id, phone)
    await browser.look(width=1100, height=820, dark=False)
    await browser.call("Page.navigate", url=sandbox.base_url)
    row = f"document.querySelector('[data-key=\"{endpoint_id}\"]')"
    await browser.until(f"{row} !== null && {row}.textContent.includes('Unregister')")
    lines = await browser.evaluate(f"[...{row}.querySelectorAll('.phone')].map((each) => each.textContent)")
    until = f"{phone.expires:%Y-%m-%d %H:%M:%S}"
    assert [phone.user_agent, phone.contact, f"from {phone.source} until {until} UTC"] == lines
    sandbox.clock.move(121)
    await browser.until(f"{row}.textContent.includes('not registered')")
    assert await browser.evaluate(f"{row}.querySelector('.phone') === null")


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (390, False), (390, True)])
async def test_it_fits_desk_and_phone(
    sandbox: Sandbox, api: aiohttp.ClientSession, browser: Browser, width: int, dark: bool
) -> None:
    """Nothing sticks out sideways; light and dark differ; what a person reads is there."""
    registered = await create(api, "alice")
    await create(api, "bob")
    await create(api, "averyveryverylongusername")
    sandbox.register(registered)
    voice = {"incoming_allow": True, "outgoing_allow": True}
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id, "sub": "alice", "per": {"voice": voice}}):
        pass
    sandbox.inject(Fault(applied=False, status=503))
    async with api.get("Endpoint/"):
        pass
    await browser.look(width=width, height=820, dark=dark)
    await browser.call("Page.navigate", url=sandbox.base_url)
    await browser.until("document.querySelectorAll('#requests tr').length === 5")
    await browser.keep_picture(
        f"sandbox-page-{'phone' if width < 600 else 'desk'}-{'dark' if dark else 'light'}.png"
    )
    assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = await browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(17, 22, 29)" if dark else "rgb(246, 247, 249)")
    assert await browser.evaluate("document.querySelector('#tokens').textContent.includes('outgoing')")

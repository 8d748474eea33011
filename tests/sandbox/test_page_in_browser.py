"""The page in headless Chromium, driven through its DevTools protocol; skipped where there is none."""

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Fault, Sandbox

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Set it to a folder to keep the pictures, as those in docs/ were made.
PICTURES = os.environ.get("PLIVO_SANDBOX_PICTURES")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


class Browser:
    """One page of a Chromium, as far as these tests need it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a DevTools command and return its result."""
        call_id = next(self._ids)
        await self._socket.send_json({"id": call_id, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=20)
            if message.get("id") == call_id:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until the page makes a JavaScript condition true, looking at every change of its DOM."""
        await self.evaluate(
            f"""new Promise((resolve, reject) => {{
                const looks = () => {{ if ({condition}) {{ resolve(true); return true; }} }};
                if (looks()) return;
                new MutationObserver((_, self) => looks() && self.disconnect()).observe(
                    document, {{subtree: true, childList: true, characterData: true, attributes: true}});
                setTimeout(() => reject(new Error("never: " + {condition!r})), 10000);
            }})"""
        )

    async def press(self, key: str) -> None:
        """Press and release a key."""
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text)

    async def look(self, *, width: int, height: int, dark: bool) -> None:
        """Change the window and the colour scheme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def keep_picture(self, name: str) -> None:
        """Write a screenshot, if pictures are wanted."""
        if PICTURES is None:
            return
        shot = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(Path(PICTURES, name).write_bytes, base64.b64decode(shot["data"]))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}"),
            "about:blank",
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(await _page_address(process, session)) as socket,
            ):
                yield Browser(socket)
        finally:
            process.terminate()
            await process.communicate()


async def _page_address(process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> str:
    assert process.stderr is not None
    while line := await asyncio.wait_for(process.stderr.readline(), 30):
        if b"DevTools listening on" in line:
            port = line.split(b"/devtools")[0].rpartition(b":")[2].decode()
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                pages = await response.json()
            address: str = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
            return address
    pytest.fail("Chromium did not start")


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

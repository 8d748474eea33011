"""Headless Chromium, driven through its DevTools protocol."""

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Set it to a folder to keep the pictures, as those in docs/ were made.
PICTURES = os.environ.get("PLIVO_SANDBOX_PICTURES")


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
        await self.call("Emulation.setScrollbarsHidden", hidden=True)
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


@asynccontextmanager
async def running_browser() -> AsyncGenerator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}"),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # scripts may want to talk to others
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

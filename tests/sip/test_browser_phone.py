"""The example of a phone in a web page: from a kept token to a registration that the API shows."""

import asyncio
import importlib.util
import json
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from plivo_endpoints import AsyncClient, CreatedEndpoint
from plivo_endpoints.sandbox import Fault, Sandbox
from tests.browser import Browser, running_browser
from tests.sip.browser_sdk import NEEDS_SDK, SDK

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "browser_phone"

pytestmark = NEEDS_SDK


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the example, with the SDK that is at hand."""
    spec = importlib.util.spec_from_file_location("browser_phone", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SDK", SDK)
    return module


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    """Serve an account with which phones can register."""
    async with Sandbox(sip=True) as sandbox:
        yield sandbox


@pytest.fixture
async def client(account: Sandbox) -> AsyncIterator[AsyncClient]:
    """Give a client of the account."""
    async with AsyncClient(account.auth_id, account.auth_token, base_url=account.base_url) as made:
        yield made


@pytest.fixture
async def alice(client: AsyncClient) -> CreatedEndpoint:
    """Create the endpoint that the page's visitor logs in as."""
    return await client.endpoints.create(username="alice", password="s3cret", alias="front-desk")


@pytest.fixture
async def page(
    example: ModuleType, account: Sandbox, client: AsyncClient, alice: CreatedEndpoint
) -> AsyncIterator[Browser]:
    """Open the example's page."""
    settings = {
        "user": alice.username,
        "signalling": account.signalling_url,
        "sandbox": account.base_url,
    }
    runner = web.AppRunner(example.build_app(client, alice.username, settings))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with running_browser() as browser:
            await browser.look(width=760, height=380, dark=False)
            await browser.call("Page.navigate", url=f"http://127.0.0.1:{runner.addresses[0][1]}/")
            await browser.until(f"document.getElementById('user')?.textContent === '{alice.username}'")
            yield browser
    finally:
        await runner.cleanup()


async def test_the_whole_way(
    page: Browser, client: AsyncClient, alice: CreatedEndpoint, account: Sandbox
) -> None:
    """The page fetches a token and registers; the API and the sandbox's page say so, until it logs out."""
    await page.evaluate("document.getElementById('login').click()")
    await page.until("document.getElementById('state').textContent === 'registered'")
    endpoint = await client.endpoints.wait_registered(alice.endpoint_id, timeout=5)
    assert (True, True) == (
        endpoint.sip_registered,
        (endpoint.sip_user_agent or "").startswith("plivo-browser-sdk"),
    )
    assert [alice.username] == [claims["sub"] for claims in account.tokens]
    await page.keep_picture("browser-phone.png")
    account.seed(2)
    async with running_browser() as other:
        await other.call("Page.navigate", url=account.base_url)
        await other.until("document.body?.textContent.includes('plivo-browser-sdk')")
        for dark in (False, True):
            await other.look(width=1100, height=610, dark=dark)
            await other.keep_picture(f"browser-phone-sandbox{'-dark' * dark}.png")
    await page.evaluate("document.getElementById('logout').click()")
    await page.until("document.getElementById('state').textContent === 'not registered'")
    assert not (await client.endpoints.get(alice.endpoint_id)).sip_registered


async def test_a_visitor_who_gets_no_token(page: Browser, account: Sandbox) -> None:
    """The page says that the login was refused; the next attempt works."""
    account.inject(Fault(applied=False, status=403))
    await page.evaluate("document.getElementById('login').click()")
    await page.until("document.getElementById('state').textContent.startsWith('refused')")
    assert "refused: INVALID_ACCESS_TOKEN" == await page.evaluate(
        "document.getElementById('state').textContent"
    )
    await page.evaluate("document.getElementById('login').click()")
    await page.until("document.getElementById('state').textContent === 'registered'")


async def test_one_command(tmp_path: Path) -> None:
    """`python app.py` serves both pages, gives its page a token, and ends on Ctrl-C."""
    folder = tmp_path / "browser_phone"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(Path(str(SDK)).parents[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "app.py", "0", cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode() for _ in range(3)]
        phone, sandbox = re.findall(r"http://\S+", "".join(lines))
        async with aiohttp.ClientSession() as session:
            for url in (phone, f"{phone}/sdk.js", sandbox):
                async with session.get(url) as shown:
                    assert 200 == shown.status
            async with session.post(f"{phone}/token") as refused:
                assert 401 == refused.status
            asks = {"X-Requested-With": "browser-phone"}
            async with session.post(f"{phone}/token", headers=asks) as given:
                assert {"jwt", "expires_at"} == set(json.loads(await given.read()))
        process.send_signal(signal.SIGINT)
        assert 0 == await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""A phone in a web page that logs in to the sandbox: `python app.py`, then open the address it prints."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from plivo_endpoints import AsyncClient
from plivo_endpoints.sandbox import Sandbox
from plivo_endpoints.token_service import AccessDeniedError, Grant, aiohttp_handler

HERE = Path(__file__).parent
SDK = HERE / "node_modules" / "plivo-browser-sdk" / "dist" / "plivobrowsersdk.js"
PORT = 8090


def install_sdk() -> None:
    """Install Plivo's browser SDK into this folder."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed to install Plivo's browser SDK: https://nodejs.org")
    print("Installing Plivo's browser SDK ...", flush=True)
    # Its install scripts would build what is only needed to change the SDK.
    subprocess.run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True)  # noqa: S603


def build_app(client: AsyncClient, user: str, settings: dict[str, str]) -> web.Application:
    """Return the web site: the page, the SDK, and the token endpoint."""

    async def authorize(request: web.Request) -> Grant:
        # Your site looks at the visitor's session here. This one only checks that its own page asks.
        if request.headers.get("X-Requested-With") != "browser-phone":
            raise AccessDeniedError("use the page", status=401)
        return Grant(sub=user, incoming_allow=True, outgoing_allow=True)

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / "index.html")

    async def sdk(_: web.Request) -> web.FileResponse:
        return web.FileResponse(SDK)

    async def show_settings(_: web.Request) -> web.Response:
        return web.json_response(settings)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/sdk.js", sdk)
    app.router.add_get("/settings", show_settings)
    app.router.add_post("/token", aiohttp_handler(client, authorize))
    return app


async def main(port: int) -> None:
    """Serve the web site until Ctrl-C, with a sandbox instead of Plivo."""
    async with (
        Sandbox(sip=True) as sandbox,
        AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client,
    ):
        alice = await client.endpoints.create(username="alice", password="s3cret", alias="front-desk")  # noqa: S106
        settings = {
            "user": alice.username,
            "signalling": sandbox.signalling_url,  # with Plivo, the SDK knows where to log in
            "sandbox": sandbox.base_url,
        }
        runner = web.AppRunner(build_app(client, alice.username, settings))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            host, port = runner.addresses[0][:2]
            print(f"The phone:   http://{host}:{port}", flush=True)
            print(f"The sandbox: {sandbox.base_url}", flush=True)
            print("Ctrl-C ends both.", flush=True)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    if not SDK.exists():
        install_sdk()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))

"""The page at the root: what the first account holds and has been asked, live, for people."""

import asyncio
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files

from aiohttp import web

from plivo_endpoints.sandbox._account import Account
from plivo_endpoints.sandbox._answers import answer
from plivo_endpoints.sandbox._closing import is_closing, pause
from plivo_endpoints.sandbox._control import set_registration
from plivo_endpoints.sandbox._snapshot import show_latest
from plivo_endpoints.sandbox._state import Directory

# Enough for the eye; a test run changes the state thousands of times a second.
_SECONDS_BETWEEN_EVENTS = 0.1
_SECONDS_OF_SILENCE = 15.0
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]*)?", re.ASCII)
_HTML_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}


def add_page(app: web.Application, directory: Directory) -> None:
    """Add the page, its events and its buttons.

    It asks for no password, so other web sites must not reach it through the reader's browser:
    buttons need a header that no foreign page can send, and on loopback the Host must be loopback,
    which a rebound domain name is not.
    """
    page = Page(directory)
    app.on_shutdown.append(page.wake)
    app.router.add_routes(
        [
            web.get("/", _at_home(page.show), allow_head=False),
            web.get("/_page/events", _at_home(page.stream), allow_head=False),
            web.post("/_page/endpoints/{endpoint_id}/{action:register|unregister}", _at_home(page.click)),
        ]
    )


class Page:
    """What the page can do."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def show(self, _request: web.Request) -> web.StreamResponse:
        """Answer the HTML."""
        html = files("plivo_endpoints.sandbox").joinpath("page.html").read_bytes()
        return web.Response(body=html, content_type="text/html", charset="utf-8", headers=_HTML_HEADERS)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the latest state now and after every change, as server-sent events."""
        state = self._directory.first().state
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        with state.feed.listen() as changed, suppress(ConnectionError):
            while not is_closing(request.app):
                changed.clear()
                await response.write(f"data: {json.dumps(show_latest(state))}\n\n".encode())
                await pause(request.app, _SECONDS_BETWEEN_EVENTS)
                while not await _comes_true(changed):
                    await response.write(b": still here\n\n")
        return response

    async def wake(self, _app: web.Application) -> None:
        """Let the streams see that the sandbox is about to stop."""
        self._directory.first().state.feed.publish()

    async def click(self, request: web.Request) -> web.StreamResponse:
        """Register or unregister an endpoint."""
        if request.headers.get("X-Sandbox-Page") != "1":
            raise web.HTTPForbidden
        account = Account(self._directory.first(), self._directory)
        registered = request.match_info["action"] == "register"
        set_registration(account, request.match_info["endpoint_id"], registered=registered)
        return answer(200, {"message": "done"})


async def _comes_true(event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), _SECONDS_OF_SILENCE)
    except TimeoutError:
        return False
    return True


def _at_home(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def guarded(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        served_at = transport.get_extra_info("sockname")[0] if transport else ""
        if _is_loopback(served_at) and not _is_loopback(_host_name(request.host)):
            raise web.HTTPForbidden
        return await handler(request)

    return guarded


def _host_name(host: str) -> str:
    # Not by way of request.url, which raises on some of what may stand in a Host header.
    match = _HOST.fullmatch(host.lower())
    return match[1] or match[2] if match else ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

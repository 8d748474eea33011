"""The page at the root, a live view of the first account and its requests."""

import asyncio
import json
from contextlib import suppress
from importlib.resources import files

from aiohttp import web

from plivo_endpoints.sandbox._account import Account
from plivo_endpoints.sandbox._control import set_registration, show_latest
from plivo_endpoints.sandbox._json import Json, answer
from plivo_endpoints.sandbox._server import is_closing, pause
from plivo_endpoints.sandbox._state import AccountState, Directory

# Often enough for people; a test run changes the state thousands of times a second.
_SECONDS_BETWEEN_EVENTS = 0.1
_LOOKS_OF_SILENCE = 15  # after which a comment keeps the connection open
# Registrations that end cause no event.
_SECONDS_BETWEEN_LOOKS = 1.0
_HTML_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}


def add_page(app: web.Application, directory: Directory) -> None:
    """Add the page, its events and its buttons.

    It needs no credentials. The buttons need a header that no page of another web site can send.
    """
    page = Page(directory)
    app.on_shutdown.append(page.wake)
    app.router.add_routes(
        [
            web.get("/", page.show, allow_head=False),
            web.get("/_page/events", page.stream, allow_head=False),
            web.post("/_page/endpoints/{endpoint_id}/{action:register|unregister}", page.click),
        ]
    )


class Page:
    """The handlers of the page."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def show(self, _request: web.Request) -> web.StreamResponse:
        """Return the HTML."""
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
                shown = show_latest(state)
                await response.write(f"data: {json.dumps(shown)}\n\n".encode())
                await pause(request.app, _SECONDS_BETWEEN_EVENTS)
                while not await _has_changed(state, shown, changed):
                    await response.write(b": still here\n\n")
        return response

    async def wake(self, _app: web.Application) -> None:
        """Wake the event streams, so that they see that the sandbox is stopping."""
        self._directory.first().state.feed.publish()

    async def click(self, request: web.Request) -> web.StreamResponse:
        """Register or unregister an endpoint."""
        if request.headers.get("X-Sandbox-Page") != "1":
            raise web.HTTPForbidden
        account = Account(self._directory.first(), self._directory)
        registered = request.match_info["action"] == "register"
        set_registration(account, request.match_info["endpoint_id"], registered=registered)
        return answer(200, {"message": "done"})


async def _has_changed(state: AccountState, shown: dict[str, Json], event: asyncio.Event) -> bool:
    """Wait until an event or the time has changed what is shown; give up after some seconds of silence."""
    for _ in range(_LOOKS_OF_SILENCE):
        if await _is_set_in_time(event, _SECONDS_BETWEEN_LOOKS) or show_latest(state) != shown:
            return True
    return False


async def _is_set_in_time(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

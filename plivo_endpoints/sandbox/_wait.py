"""`/_sandbox/wait`: a response that comes as soon as a phone is registered."""

import asyncio
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web

from plivo_endpoints.sandbox._control import show_endpoint
from plivo_endpoints.sandbox._json import RefusedError, answer, refuse
from plivo_endpoints.sandbox._routes import CALLER
from plivo_endpoints.sandbox._server import is_closing
from plivo_endpoints.sandbox._state import AccountState

_DEFAULT_TIMEOUT = "30"  # seconds
_MAX_TIMEOUT = 300
# How soon it is noticed that the client has disconnected, or that the sandbox is stopping.
_SECONDS_BETWEEN_CHECKS = 0.2


def add_wait(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/_sandbox/wait", wait, allow_head=False)


async def wait(request: web.Request) -> web.Response:
    """Wait until an endpoint is registered, and return it."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _read_timeout(request.query.get("timeout", _DEFAULT_TIMEOUT))
    state = request[CALLER].state
    endpoint_id = _find(state, request.query.get("registered", ""))
    with state.feed.listen() as changed:
        while True:
            changed.clear()
            endpoint = state.store.get(endpoint_id)
            if endpoint is None:
                raise web.HTTPNotFound
            if endpoint.sip_registered:
                return answer(200, show_endpoint(endpoint))
            left = deadline - clock()
            if is_closing(request.app):
                return refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the sandbox is stopping")
            if left <= 0 or request.transport is None:
                # Not 408: some HTTP clients would send the request again.
                return refuse(HTTPStatus.GATEWAY_TIMEOUT, "the endpoint was not registered in time")
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), min(left, _SECONDS_BETWEEN_CHECKS))


def _find(state: AccountState, name: str) -> str:
    if not name:
        raise RefusedError("registered must be an endpoint_id or a username")
    endpoint = state.store.get(name) or state.store.find(name)
    if endpoint is None:
        raise web.HTTPNotFound
    return endpoint.endpoint_id


def _read_timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _MAX_TIMEOUT:
        raise RefusedError(f"timeout must be from 0 to {_MAX_TIMEOUT} seconds")
    return seconds

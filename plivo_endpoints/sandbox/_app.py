"""The aiohttp application: everything around the operations."""

import ipaddress
import re
import time
import uuid
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from plivo_endpoints.sandbox._control import add_control
from plivo_endpoints.sandbox._faults import Fault, faulty_answer, send_faulty_response
from plivo_endpoints.sandbox._json import RefusedError, refuse, refuse_caller, refuse_like
from plivo_endpoints.sandbox._page import add_page
from plivo_endpoints.sandbox._record import MAX_TEXT, RequestRecord, redact
from plivo_endpoints.sandbox._routes import BODY, CALLER, add_routes
from plivo_endpoints.sandbox._server import add_closing
from plivo_endpoints.sandbox._state import AccountState, Directory

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.ASCII)
# Set aside for private use: RFC 6761, RFC 6762, and ICANN's resolution on .internal.
_PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".test")
_HOST_RULE = (
    f"Host must be an address, a name without dots or below {', '.join(_PRIVATE_DOMAINS)}, "
    "or the name that the sandbox serves at"
)


def guarding(served_host: str) -> Middleware:
    """Refuse what a foreign page sends; `served_host` is the name or address that the sandbox serves at."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        # Every browser sends a Host.
        if host is not None and not _is_private(_host_name(host), served_host.lower()):
            return refuse(HTTPStatus.FORBIDDEN, _HOST_RULE)
        if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
            return refuse(HTTPStatus.FORBIDDEN, "requests of other web sites are refused")
        return await handler(request)

    return guard


def _host_name(host: str) -> str:
    # Not by way of request.url, which raises on some of what may stand in a Host header.
    match = _HOST.fullmatch(host.lower())
    return match[1] or match[2] if match else ""


def _is_private(name: str, served_host: str) -> bool:
    if not name:
        return False
    if name == served_host or "." not in name or name.endswith(_PRIVATE_DOMAINS):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


MAX_BODY = 2**20  # bytes

# What happens when nothing does: the real answer, at once.
_CALM = Fault(applied=True)

REQUEST_ID = web.RequestKey("request_id", str)


def build_app(directory: Directory, host: str, *, control: bool) -> web.Application:
    """Return the application that answers for the accounts of `directory` at `host`."""
    middlewares = [guarding(host), _attending(directory), _refusing, _signing_in(directory), _metering]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    add_closing(app)
    app.on_response_prepare.append(_name_request)
    add_routes(app)
    add_page(app, directory)
    if control:
        add_control(app, directory)
    return app


def _attending(directory: Directory) -> Middleware:
    """Let faults strike, and remember every request before its answer is under way."""

    @web.middleware
    async def attend(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.perf_counter()
        request[REQUEST_ID] = str(uuid.uuid4())
        if _is_own(request.path):
            return await handler(request)
        waiting = _concerned(directory, request).faults
        fault = waiting.strike(request.method, _operation(request)) or _CALM
        real = await handler(request) if fault.applied else None
        sent = faulty_answer(fault, real)
        state = _concerned(directory, request)  # by now it is known who asks
        state.remember(_record(request, state, begun, real=real, sent=sent))
        return await send_faulty_response(request, fault, sent)

    return attend


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as problem:
        return refuse(HTTPStatus.BAD_REQUEST, str(problem))
    except (web.RequestPayloadError, ConnectionError):  # the latter where the sender leaves half-way
        return refuse(HTTPStatus.BAD_REQUEST, "the request body cannot be read")
    except web.HTTPException as problem:
        return refuse_like(problem)


def _signing_in(directory: Directory) -> Middleware:
    """Check credentials first: who may not sign in learns nothing about what exists.

    An account's credentials open that account's own path only, a subaccount's its own only; any
    other account in the path answers 401, whether it exists or not.
    """

    @web.middleware
    async def sign_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(("/v1/", "/_sandbox/")):
            return await handler(request)
        caller = directory.sign_in(request.headers.get("Authorization", ""))
        if caller is None or request.match_info.get("auth_id", caller.auth_id) != caller.auth_id:
            return refuse_caller()
        request[CALLER] = caller
        return await handler(request)

    return sign_in


@web.middleware
async def _metering(request: web.Request, handler: Handler) -> web.StreamResponse:
    caller = request.get(CALLER)
    if caller is not None and _operation(request).startswith("Endpoint/"):
        state = caller.state
        if state.settings.quota and not state.quota.admit(state.clock.now().timestamp()):
            return refuse(HTTPStatus.TOO_MANY_REQUESTS, "too many requests")
    return await handler(request)


def _is_own(path: str) -> bool:
    # The page and the control path are no part of Plivo: no fault strikes there, no record is kept.
    return path == "/" or path.startswith("/_")


async def _name_request(request: web.Request, response: web.StreamResponse) -> None:
    # aiohttp refuses an unknown Expect by itself, before any of the above has seen the request.
    response.headers["X-Request-ID"] = request.get(REQUEST_ID) or str(uuid.uuid4())


def _concerned(directory: Directory, request: web.Request) -> AccountState:
    # Requests of strangers count for the account that they ask for, else for the first one.
    caller = request.get(CALLER) or directory.find(request.match_info.get("auth_id", ""))
    return (caller or directory.first()).state


def _operation(request: web.Request) -> str:
    auth_id = request.match_info.get("auth_id", "")
    return request.path.removeprefix(f"/v1/Account/{auth_id}/")


def _record(
    request: web.Request,
    state: AccountState,
    begun: float,
    *,
    real: web.StreamResponse | None,
    sent: web.StreamResponse | None,
) -> RequestRecord:
    caller, body = request.get(CALLER), request.get(BODY)
    carried_out = real is not None and real.status < HTTPStatus.BAD_REQUEST
    return RequestRecord(
        at=state.clock.now(),
        method=request.method[:MAX_TEXT],
        path=request.path[:MAX_TEXT],
        query=redact(dict(request.query)),
        body=None if body is None else redact(body),
        auth_id=caller.auth_id if caller else None,
        status=None if sent is None else sent.status,
        applied=carried_out and request.method != "GET",
        seconds=time.perf_counter() - begun,
        request_id=request[REQUEST_ID],
    )

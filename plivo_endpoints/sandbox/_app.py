"""The aiohttp application, and the middlewares around its operations."""

import ipaddress
import re
import time
import uuid
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from plivo_endpoints.sandbox._accounts import add_accounts
from plivo_endpoints.sandbox._arguments import read_fault_header
from plivo_endpoints.sandbox._control import add_closed_control, add_control
from plivo_endpoints.sandbox._faults import Fault, faulty_answer, send_faulty_response
from plivo_endpoints.sandbox._hints import OTHER_ACCOUNT, hint_for
from plivo_endpoints.sandbox._json import RefusedError, refuse, refuse_caller, refuse_like
from plivo_endpoints.sandbox._page import add_page
from plivo_endpoints.sandbox._public import PUBLIC_PATHS, add_public
from plivo_endpoints.sandbox._record import MAX_TEXT, RequestRecord, redact
from plivo_endpoints.sandbox._routes import BODY, CALLER, add_routes
from plivo_endpoints.sandbox._server import add_closing
from plivo_endpoints.sandbox._sip._registrar import Registrar
from plivo_endpoints.sandbox._sip._websocket import SIGNALLING_PATH, add_signalling
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory
from plivo_endpoints.sandbox._wait import add_wait

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.ASCII)
# Set aside for private use: RFC 6761, RFC 6762, and ICANN's resolution on .internal.
_PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".test")
_HOST_RULE = (
    f"Host must be an IP address, a name without dots, a name under {', '.join(_PRIVATE_DOMAINS)}, "
    "or the host that the sandbox serves on"
)


def guarding(served_host: str) -> Middleware:
    """Reject requests from other web sites; `served_host` is the name or address of the sandbox."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        # Every browser sends a Host.
        if host is not None and not _is_private(_host_name(host), served_host.lower()):
            return refuse(HTTPStatus.FORBIDDEN, _HOST_RULE)
        # Phones in pages of any site may use the WebSocket: browsers send it no credentials by themselves.
        if request.path == SIGNALLING_PATH:
            return await handler(request)
        if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
            return refuse(HTTPStatus.FORBIDDEN, "requests from other web sites are refused")
        return await handler(request)

    return guard


def _host_name(host: str) -> str:
    # Not request.url, which raises on some Host headers.
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

# The real response, at once.
_NO_FAULT = Fault(applied=True)

REQUEST_ID = web.RequestKey("request_id", str)


def build_app(
    directory: Directory, host: str, *, control: bool, registrar: Registrar | None
) -> web.Application:
    """Return the application that serves the accounts of `directory` on `host`."""
    middlewares = [
        guarding(host),
        _injecting(directory, control=control),
        _refusing,
        _authenticating(directory),
        _enforcing_quota,
    ]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    add_closing(app)
    app.on_response_prepare.append(_name_request)
    add_routes(app)
    add_page(app, directory)
    add_public(app)
    if control:
        add_control(app, directory)
        add_accounts(app, directory)
        add_wait(app)
    else:
        add_closed_control(app)
    if registrar is not None:
        add_signalling(app, registrar)
    return app


def _injecting(directory: Directory, *, control: bool) -> Middleware:
    """Apply faults, and record each request before its response is sent.

    With `control`, the header of a request with valid credentials can contain a fault for that request alone.
    """

    @web.middleware
    async def inject(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request[REQUEST_ID] = str(uuid.uuid4())
        if _is_own(request.path):
            return await handler(request)
        real: web.StreamResponse | None
        try:
            fault = _choose_fault(directory, request, control=control)
        except RefusedError as problem:
            fault, real = _NO_FAULT, refuse(HTTPStatus.BAD_REQUEST, str(problem))
        else:
            real = await handler(request) if fault.applied else None
        sent = faulty_answer(fault, real)
        state = _state_for(directory, request)  # the caller is authenticated only now
        state.remember(_record(request, state, started, real=real, sent=sent))
        return await send_faulty_response(request, fault, sent)

    return inject


def _choose_fault(directory: Directory, request: web.Request, *, control: bool) -> Fault:
    """Return the fault in the request's header, or else the first pending one that applies."""
    caller = directory.sign_in(request.headers.get("Authorization", ""))
    if caller is not None and _owns_path(caller, request):
        own = read_fault_header(request, control=control)
        if own is not None:
            return own
    pending = _state_for(directory, request).faults
    return pending.strike(request.method, _operation(request)) or _NO_FAULT


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as problem:
        return refuse(HTTPStatus.BAD_REQUEST, str(problem))
    except (web.RequestPayloadError, ConnectionError):  # ConnectionError if the sender disconnects half-way
        return refuse(HTTPStatus.BAD_REQUEST, "the request body cannot be read")
    except web.HTTPException as problem:
        return refuse_like(problem, hint_for(request, problem))


def _authenticating(directory: Directory) -> Middleware:
    """Check credentials first, so that a caller without them learns nothing about what exists.

    The credentials of an account or subaccount are valid for its own path only. Any other account in the
    path gets a 401, whether it exists or not.
    """

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(("/v1/", "/_sandbox/")) or request.path in PUBLIC_PATHS:
            return await handler(request)
        caller = directory.sign_in(request.headers.get("Authorization", ""))
        if caller is None:
            return refuse_caller()
        if not _owns_path(caller, request):
            return refuse_caller(OTHER_ACCOUNT)
        request[CALLER] = caller
        return await handler(request)

    return authenticate


def _owns_path(caller: Caller, request: web.Request) -> bool:
    return request.match_info.get("auth_id", caller.auth_id) == caller.auth_id


@web.middleware
async def _enforcing_quota(request: web.Request, handler: Handler) -> web.StreamResponse:
    caller = request.get(CALLER)
    if caller is not None and _operation(request).startswith("Endpoint/"):
        state = caller.state
        if state.settings.quota and not state.quota.admit(state.clock.now().timestamp()):
            return refuse(HTTPStatus.TOO_MANY_REQUESTS, "too many requests")
    return await handler(request)


def _is_own(path: str) -> bool:
    # The page and the control path are not part of Plivo's API, and the WebSocket is not of its HTTP: their
    # requests get no faults and are not recorded.
    return path in ("/", SIGNALLING_PATH) or path.startswith("/_")


async def _name_request(request: web.Request, response: web.StreamResponse) -> None:
    # aiohttp rejects an unknown Expect by itself, before any of these middlewares.
    response.headers["X-Request-ID"] = request.get(REQUEST_ID) or str(uuid.uuid4())


def _state_for(directory: Directory, request: web.Request) -> AccountState:
    # Unauthenticated requests count for the account in their path, or else for the first account.
    caller = request.get(CALLER) or directory.find(request.match_info.get("auth_id", ""))
    return (caller or directory.first()).state


def _operation(request: web.Request) -> str:
    auth_id = request.match_info.get("auth_id", "")
    return request.path.removeprefix(f"/v1/Account/{auth_id}/")


def _record(
    request: web.Request,
    state: AccountState,
    started: float,
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
        seconds=time.perf_counter() - started,
        request_id=request[REQUEST_ID],
    )

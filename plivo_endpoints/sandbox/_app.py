"""The aiohttp application: everything around the operations."""

import time
import uuid
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from plivo_endpoints.sandbox._answers import refuse, refuse_caller, refuse_like
from plivo_endpoints.sandbox._json import MalformedJsonError
from plivo_endpoints.sandbox._record import RequestRecord, redact
from plivo_endpoints.sandbox._routes import BODY, CALLER, add_routes
from plivo_endpoints.sandbox._state import AccountState, Directory

MAX_BODY = 2**20  # bytes


def build_app(directory: Directory) -> web.Application:
    """Return the application that answers for the accounts of `directory`."""
    middlewares = [_recording(directory), _refusing, _signing_in(directory)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    add_routes(app)
    return app


def _recording(directory: Directory) -> Middleware:
    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, request_id = time.perf_counter(), str(uuid.uuid4())
        response = await handler(request)
        response.headers["X-Request-ID"] = request_id
        state = _concerned(directory, request)
        state.requests.append(_record(request, response, state, time.perf_counter() - started, request_id))
        return response

    return record


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except MalformedJsonError as problem:
        return refuse(400, str(problem))
    except web.RequestPayloadError:
        return refuse(400, "the request body cannot be read")
    except web.HTTPException as problem:
        return refuse_like(problem)


def _signing_in(directory: Directory) -> Middleware:
    """Check credentials first: who may not sign in learns nothing about what exists.

    An account's credentials open that account's own path only, a subaccount's its own only; any
    other account in the path answers 401, whether it exists or not.
    """

    @web.middleware
    async def sign_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            return await handler(request)
        caller = directory.sign_in(request.headers.get("Authorization", ""))
        if caller is None or request.match_info.get("auth_id", caller.auth_id) != caller.auth_id:
            return refuse_caller()
        request[CALLER] = caller
        return await handler(request)

    return sign_in


def _concerned(directory: Directory, request: web.Request) -> AccountState:
    # Requests of strangers count for the account that they ask for, else for the first one.
    caller = request.get(CALLER) or directory.find(request.match_info.get("auth_id", ""))
    return (caller or directory.first()).state


def _record(
    request: web.Request, response: web.StreamResponse, state: AccountState, seconds: float, request_id: str
) -> RequestRecord:
    caller, body = request.get(CALLER), request.get(BODY)
    return RequestRecord(
        at=state.clock.now(),
        method=request.method,
        path=request.path,
        query=redact(dict(request.query)),
        body=None if body is None else redact(body),
        auth_id=caller.auth_id if caller else None,
        status=response.status,
        applied=request.method != "GET" and response.status < HTTPStatus.BAD_REQUEST,
        seconds=seconds,
        request_id=request_id,
    )

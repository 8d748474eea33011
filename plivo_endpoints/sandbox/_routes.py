"""The handlers of Plivo's API."""

from aiohttp import web

from plivo_endpoints.sandbox._json import Json, answer, read_object, refuse, refuse_fields
from plivo_endpoints.sandbox._listing import page_meta, read_page_request
from plivo_endpoints.sandbox._rules import change_error, creation_errors, read_changes
from plivo_endpoints.sandbox._state import Caller
from plivo_endpoints.sandbox._store import SandboxEndpoint, detailed, listed
from plivo_endpoints.sandbox._tokens import read_claims, sign

CALLER = web.RequestKey("caller", Caller)
BODY = web.RequestKey("body", dict[str, Json])

_ACCOUNT = "/v1/Account/{auth_id}"


async def create_endpoint(request: web.Request) -> web.Response:
    """Create an endpoint, with digits appended to its username."""
    caller, body = request[CALLER], await _read_body(request)
    errors = creation_errors(body, strict_alias=caller.state.settings.strict_alias)
    if errors:
        return refuse_fields(errors)
    username = str(body["username"])
    made = caller.state.store.create(username, read_changes(body), caller.sub_account)
    caller.state.count_create(username)
    return answer(
        201,
        {
            "message": "created",
            "endpoint_id": made.endpoint_id,
            "username": made.username,
            "alias": made.alias,
        },
    )


async def list_endpoints(request: web.Request) -> web.Response:
    """Return one page of endpoints."""
    caller = request[CALLER]
    page = read_page_request(request.query)
    store, settings = caller.state.store, caller.state.settings
    window, endpoints = store.page(page, settings.order, settings.list_lag, caller.sub_account)
    meta = page_meta(window, page.limit, caller.endpoints_path, settings.pagination)
    return answer(200, {"meta": meta, "objects": [listed(endpoint) for endpoint in endpoints]})


async def retrieve_endpoint(request: web.Request) -> web.Response:
    """Return one endpoint."""
    return answer(200, detailed(_find(request)))


async def update_endpoint(request: web.Request) -> web.Response:
    """Change password, alias or application."""
    _find(request)
    state, body = request[CALLER].state, await _read_body(request)
    error = change_error(body, strict_alias=state.settings.strict_alias)
    if error:
        return refuse(400, error)
    # Looked up again, as it may have been deleted while the body was read.
    state.store.change(_find(request).endpoint_id, read_changes(body))
    return answer(202, {"message": "changed"})


async def delete_endpoint(request: web.Request) -> web.Response:
    """Delete an endpoint."""
    request[CALLER].state.store.delete(_find(request).endpoint_id)
    return web.Response(status=204)


async def create_token(request: web.Request) -> web.Response:
    """Mint a token, signed with the caller's auth_token."""
    caller, body = request[CALLER], await _read_body(request)
    claims = read_claims(body, caller.auth_id, int(caller.state.clock.now().timestamp()))
    caller.state.claims.append(claims)
    return answer(200, {"token": sign(claims, caller.auth_token)})


def _find(request: web.Request) -> SandboxEndpoint:
    caller = request[CALLER]
    endpoint = caller.state.store.get(request.match_info["endpoint_id"], caller.sub_account)
    if endpoint is None:
        raise web.HTTPNotFound
    return endpoint


async def _read_body(request: web.Request) -> dict[str, Json]:
    body = request[BODY] = read_object(await request.read())
    return body


# By method and path below the account's. Faults can be aimed at those that `_faults.OPERATIONS` names.
_HANDLERS = {
    ("POST", "Endpoint/"): create_endpoint,
    ("GET", "Endpoint/"): list_endpoints,
    ("GET", "Endpoint/{endpoint_id}/"): retrieve_endpoint,
    ("POST", "Endpoint/{endpoint_id}/"): update_endpoint,
    ("DELETE", "Endpoint/{endpoint_id}/"): delete_endpoint,
    ("POST", "JWT/Token/"): create_token,
}


PATHS = tuple(dict.fromkeys(f"{_ACCOUNT}/{path}" for _, path in _HANDLERS))


def add_routes(app: web.Application) -> None:
    """Add all operations; other methods of their paths get a 405."""
    for (method, path), handler in _HANDLERS.items():
        # add_get would allow HEAD as well, which Plivo does not.
        app.router.add_route(method, f"{_ACCOUNT}/{path}", handler)

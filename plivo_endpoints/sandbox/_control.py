"""The control path `/_sandbox/`, which gives tests in other languages what `Account` gives Python.

Callers authenticate as for the API, and see and change their own account.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import islice

from aiohttp import web
from attrs import asdict

from plivo_endpoints.sandbox._account import Account
from plivo_endpoints.sandbox._arguments import NUMBER, Types, read_arguments, read_fault, refusing
from plivo_endpoints.sandbox._json import Json, RefusedError, answer, read_object, refuse
from plivo_endpoints.sandbox._listing import PageRequest
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._routes import CALLER
from plivo_endpoints.sandbox._state import AccountState, Directory
from plivo_endpoints.sandbox._store import SandboxEndpoint, listed

# How many of each the page shows.
_SHOWN_ENDPOINTS = 50
_SHOWN_TOKENS = 20
_SHOWN_REQUESTS = 50


def show_state(state: AccountState) -> dict[str, Json]:
    """Return the whole account, without secrets."""
    return {
        "auth_id": state.auth_id,
        "now": state.clock.now().isoformat(),
        **asdict(state.settings),
        "applied_creates": dict(state.creates),
        "endpoints": [show_endpoint(endpoint) for endpoint in state.store.snapshot().values()],
        "tokens": list(state.claims),
    }


def show_record(record: RequestRecord) -> dict[str, Json]:
    """Return a request record as JSON."""
    return {
        "at": record.at.isoformat(),
        "method": record.method,
        "path": record.path,
        "query": dict(record.query),
        "body": None if record.body is None else dict(record.body),
        "auth_id": record.auth_id,
        "status": record.status,
        "applied": record.applied,
        "seconds": record.seconds,
        "request_id": record.request_id,
    }


def show_latest(state: AccountState) -> dict[str, Json]:
    """Return the newest endpoints, tokens and requests, and how many endpoints there are."""
    window, endpoints = state.store.page(PageRequest(limit=_SHOWN_ENDPOINTS), "newest")
    return {
        "auth_id": state.auth_id,
        "total": window.total,
        "endpoints": [show_endpoint(endpoint) for endpoint in endpoints],
        "tokens": list(islice(reversed(state.claims.copy()), _SHOWN_TOKENS)),
        "requests": [show_record(record) for record in islice(reversed(state.requests), _SHOWN_REQUESTS)],
    }


def show_endpoint(endpoint: SandboxEndpoint) -> dict[str, Json]:
    """Return an endpoint without its password, when it was created, and where its phone is."""
    source = None if endpoint.registration is None else endpoint.registration.source
    return listed(endpoint) | {"created": endpoint.created.isoformat(), "sip_source": source}


_INJECTION: Types = {
    "fault": (dict,),
    "times": (int,),
    "rate": NUMBER,
    "seed": (int,),
    "latency_sigma": NUMBER,
    "method": (str,),
    "path": (str,),
}
_SEED: Types = {"count": (int,)}
_CLOCK: Types = {"set": (str,), "move": NUMBER}
_SETTINGS: Types = {
    "pagination": (str,),
    "order": (str,),
    "strict_alias": (bool,),
    "quota": (bool,),
    "list_lag": NUMBER,
}
# Each may be as large as a request body.
_MAX_FAULTS = 100
# The sandbox does nothing else meanwhile: 0.3 s for so many endpoints, 1.6 s for so large a snapshot.
_MAX_SEED = 10_000
_MAX_SNAPSHOT = 16 * 2**20  # bytes, enough for about 50,000 endpoints


def add_control(app: web.Application, directory: Directory) -> None:
    """Add the routes of the control path."""
    control = Control(directory)
    app.router.add_routes(
        [
            web.get("/_sandbox/state", control.state, allow_head=False),
            web.get("/_sandbox/requests", control.requests, allow_head=False),
            web.get("/_sandbox/creates", control.creates, allow_head=False),
            web.get("/_sandbox/tokens", control.tokens, allow_head=False),
            web.post("/_sandbox/reset", control.reset),
            web.post("/_sandbox/seed", control.seed),
            web.get("/_sandbox/snapshot", control.snapshot, allow_head=False),
            web.post("/_sandbox/snapshot", control.restore),
            web.post("/_sandbox/faults", control.inject),
            web.delete("/_sandbox/faults", control.clear_faults),
            web.post("/_sandbox/settings", control.settings),
            web.post("/_sandbox/clock", control.clock),
            web.post("/_sandbox/endpoints/{endpoint_id}/register", control.register),
            web.post("/_sandbox/endpoints/{endpoint_id}/unregister", control.unregister),
        ]
    )


def add_closed_control(app: web.Application) -> None:
    """Add a 404 for every path of the control path, which says how to open it."""

    async def refuse_all(_request: web.Request) -> web.Response:
        hint = "start the sandbox with --control, or Sandbox(control=True)"
        return refuse(HTTPStatus.NOT_FOUND, "not found", hint)

    app.router.add_route("*", "/_sandbox/{path:.*}", refuse_all)


class Control:
    """The handlers of the control path."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def state(self, request: web.Request) -> web.Response:
        """Return the whole account, without secrets."""
        return answer(200, show_state(request[CALLER].state))

    async def requests(self, request: web.Request) -> web.Response:
        """Return the recent requests, oldest first."""
        return answer(200, {"requests": [show_record(each) for each in self._account(request).requests]})

    async def creates(self, request: web.Request) -> web.Response:
        """Return how many creates were carried out for each requested username."""
        return answer(200, {"creates": dict(self._account(request).applied_creates)})

    async def tokens(self, request: web.Request) -> web.Response:
        """Return the claims of the last tokens, oldest first."""
        return answer(200, {"tokens": list(self._account(request).tokens)})

    async def reset(self, request: web.Request) -> web.Response:
        """Return to an empty account."""
        self._account(request).reset()
        return answer(200, {"message": "reset"})

    async def seed(self, request: web.Request) -> web.Response:
        """Create endpoints."""
        count = (await read_arguments(request, _SEED)).get("count", 0)
        if not 1 <= count <= _MAX_SEED:
            raise RefusedError(f"count must be from 1 to {_MAX_SEED}")
        self._account(request).seed(count)
        return answer(200, {"message": "created"})

    async def snapshot(self, request: web.Request) -> web.Response:
        """Return the endpoints as a document for `restore`."""
        return answer(200, self._account(request).snapshot())

    async def restore(self, request: web.Request) -> web.Response:
        """Replace all endpoints by those of a snapshot."""
        saved = read_object(await request.clone(client_max_size=_MAX_SNAPSHOT).read())
        with refusing():
            self._account(request).restore(saved)
        return answer(200, {"message": "restored"})

    async def inject(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        options = await read_arguments(request, _INJECTION)
        if len(request[CALLER].state.faults) >= _MAX_FAULTS:
            raise RefusedError(f"{_MAX_FAULTS} faults are pending: clear them with DELETE /_sandbox/faults")
        with refusing():
            self._account(request).inject(read_fault(options.pop("fault", {})), **options)
        return answer(200, {"message": "waiting"})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Remove all pending faults."""
        self._account(request).clear_faults()
        return answer(200, {"message": "cleared"})

    async def settings(self, request: web.Request) -> web.Response:
        """Change the account's settings."""
        changes = await read_arguments(request, _SETTINGS)
        with refusing():
            request[CALLER].state.configure(**changes)
        return answer(200, {"message": "changed"})

    async def clock(self, request: web.Request) -> web.Response:
        """Set or move the account's time."""
        change, clock = await read_arguments(request, _CLOCK), self._account(request).clock
        moment = _read_time(change["set"]) if "set" in change else clock.now()
        with refusing():
            clock.set(_later(moment, change.get("move", 0)))
        return answer(200, {"now": clock.now().isoformat()})

    async def register(self, request: web.Request) -> web.Response:
        """Register a SIP client with an endpoint."""
        return self._set_registration(request, registered=True)

    async def unregister(self, request: web.Request) -> web.Response:
        """Unregister the SIP client of an endpoint."""
        return self._set_registration(request, registered=False)

    def _set_registration(self, request: web.Request, *, registered: bool) -> web.Response:
        set_registration(self._account(request), request.match_info["endpoint_id"], registered=registered)
        return answer(200, {"message": "registered" if registered else "unregistered"})

    def _account(self, request: web.Request) -> Account:
        return Account(request[CALLER], self._directory)


def _read_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError("set must be a time in ISO 8601, such as 2030-01-01T00:00:00Z") from None


def _later(moment: datetime, seconds: float) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise RefusedError("the clock must be between 1970 and 8999") from None


def set_registration(account: Account, endpoint_id: str, *, registered: bool) -> None:
    """Register or unregister an endpoint; raise `HTTPNotFound` if there is none."""
    try:
        (account.register if registered else account.unregister)(endpoint_id)
    except KeyError:
        raise web.HTTPNotFound from None

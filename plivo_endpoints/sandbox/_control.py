"""The control path `/_sandbox/`, which gives tests in other languages what `Account` gives Python.

Callers authenticate as for the API, and see and change their own account.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from aiohttp import web
from attrs import asdict

from plivo_endpoints.sandbox._account import Account
from plivo_endpoints.sandbox._faults import Fault
from plivo_endpoints.sandbox._json import Json, RefusedError, answer, read_object
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
        "endpoints": [_show_endpoint(endpoint) for endpoint in state.store.snapshot().values()],
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
        "endpoints": [_show_endpoint(endpoint) for endpoint in endpoints],
        "tokens": list(islice(reversed(state.claims.copy()), _SHOWN_TOKENS)),
        "requests": [show_record(record) for record in islice(reversed(state.requests), _SHOWN_REQUESTS)],
    }


def _show_endpoint(endpoint: SandboxEndpoint) -> dict[str, Json]:
    source = None if endpoint.registration is None else endpoint.registration.source
    return listed(endpoint) | {"created": endpoint.created.isoformat(), "sip_source": source}


Types = Mapping[str, tuple[type, ...]]

_NUMBER = (int, float)
_FAULT: Types = {
    "applied": (bool,),
    "status": (int,),
    "body": (str,),
    "content_type": (str,),
    "headers": (dict,),
    "latency": _NUMBER,
    "drip": _NUMBER,
    "truncate_at": (int,),
    "reset": (bool,),
}
_INJECTION: Types = {
    "fault": (dict,),
    "times": (int,),
    "rate": _NUMBER,
    "seed": (int,),
    "method": (str,),
    "path": (str,),
}
_CLOCK: Types = {"set": (str,), "move": _NUMBER}
_SETTINGS: Types = {
    "pagination": (str,),
    "order": (str,),
    "strict_alias": (bool,),
    "quota": (bool,),
    "list_lag": _NUMBER,
}
# Each may be as large as a request body.
_MAX_FAULTS = 100
_MAX_ERROR = 500  # characters


def add_control(app: web.Application, directory: Directory) -> None:
    """Add the routes of the control path."""
    control = Control(directory)
    app.router.add_routes(
        [
            web.get("/_sandbox/state", control.state, allow_head=False),
            web.get("/_sandbox/requests", control.requests, allow_head=False),
            web.get("/_sandbox/creates", control.creates, allow_head=False),
            web.post("/_sandbox/faults", control.inject),
            web.delete("/_sandbox/faults", control.clear_faults),
            web.post("/_sandbox/settings", control.settings),
            web.post("/_sandbox/clock", control.clock),
            web.post("/_sandbox/endpoints/{endpoint_id}/register", control.register),
            web.post("/_sandbox/endpoints/{endpoint_id}/unregister", control.unregister),
        ]
    )


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

    async def inject(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        options = _checked(await _read(request), _INJECTION)
        if len(request[CALLER].state.faults) >= _MAX_FAULTS:
            raise RefusedError(f"{_MAX_FAULTS} faults are pending: clear them with DELETE /_sandbox/faults")
        with _refusing():
            self._account(request).inject(read_fault(options.pop("fault", {})), **options)
        return answer(200, {"message": "waiting"})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Remove all pending faults."""
        self._account(request).clear_faults()
        return answer(200, {"message": "cleared"})

    async def settings(self, request: web.Request) -> web.Response:
        """Change the account's settings."""
        changes = _checked(await _read(request), _SETTINGS)
        with _refusing():
            request[CALLER].state.configure(**changes)
        return answer(200, {"message": "changed"})

    async def clock(self, request: web.Request) -> web.Response:
        """Set or move the account's time."""
        change, clock = _checked(await _read(request), _CLOCK), self._account(request).clock
        with _refusing():
            moment = datetime.fromisoformat(change["set"]) if "set" in change else clock.now()
            clock.set(moment + timedelta(seconds=change.get("move", 0)))
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


def set_registration(account: Account, endpoint_id: str, *, registered: bool) -> None:
    """Register or unregister an endpoint; raise `HTTPNotFound` if there is none."""
    if endpoint_id not in account.endpoints:
        raise web.HTTPNotFound
    (account.register if registered else account.unregister)(endpoint_id)


def read_fault(fields: Mapping[str, Json]) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: a field is unknown or has the wrong type, or the fields contradict each other.
    """
    known = _checked(fields, _FAULT)
    if "applied" not in known:
        raise RefusedError("fault: applied is required")
    if not all(isinstance(value, str) for value in known.get("headers", {}).values()):
        raise RefusedError("headers must map names to strings")
    return Fault(**known)


@contextmanager
def _refusing() -> Generator[None]:
    """Turn a broken rule into a 400; its message is cut, as it may quote as much as a request body."""
    try:
        yield
    except (ValueError, OverflowError) as problem:
        raise RefusedError(str(problem)[:_MAX_ERROR]) from None


async def _read(request: web.Request) -> dict[str, Json]:
    return read_object(await request.read())


def _checked(fields: Mapping[str, Json], types: Types) -> dict[str, Any]:
    """Return the fields that are not `null`, after checking names and types."""
    for name, value in fields.items():
        if name not in types:
            raise RefusedError(f"unknown field {name[:50]}: expected one of {', '.join(types)}")
        # True is an int in Python, but not in JSON.
        fits = isinstance(value, types[name]) and (bool in types[name] or not isinstance(value, bool))
        if value is not None and not fits:
            raise RefusedError(f"{name} must be of type {types[name][-1].__name__}")
    return {name: value for name, value in fields.items() if value is not None}

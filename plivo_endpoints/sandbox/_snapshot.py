"""The state as JSON, for programs that ask and for the page: no password, no token."""

from itertools import islice

from attrs import asdict

from plivo_endpoints.sandbox._endpoint import SandboxEndpoint, listed
from plivo_endpoints.sandbox._json import Json
from plivo_endpoints.sandbox._listing import PageRequest
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._state import AccountState

# What the page shows of each kind.
_SHOWN_ENDPOINTS = 50
_SHOWN_TOKENS = 20
_SHOWN_REQUESTS = 50


def show_state(state: AccountState) -> dict[str, Json]:
    """Return everything about an account."""
    return {
        "auth_id": state.auth_id,
        "now": state.clock.now().isoformat(),
        **asdict(state.settings),
        "applied_creates": dict(state.creates),
        "endpoints": [_show_endpoint(endpoint) for endpoint in state.store.snapshot().values()],
        "tokens": list(state.claims),
    }


def show_record(record: RequestRecord) -> dict[str, Json]:
    """Return a request."""
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
    return listed(endpoint) | {"created": endpoint.created.isoformat()}

"""What the sandbox remembers of the requests that it received: never a secret."""

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from plivo_endpoints.sandbox._json import Json

REDACTED = "[redacted]"

# Named one by one, so that a field which nobody thought of is hidden, not shown.
_SHOWN = frozenset(
    {"username", "alias", "app_id", "iss", "sub", "nbf", "exp", "app", "limit", "offset", "cursor"}
    | {"per", "voice", "incoming_allow", "outgoing_allow"}
)
_MAX_SHOWN = 200


@frozen(kw_only=True)
class RequestRecord:
    """One request: `path` without its query; `body` and `query` hold no secret.

    `status` is `None` where the connection was dropped instead of an answer. `applied` tells whether
    the request was carried out and changed the state or minted a token, whatever was answered.
    `auth_id` is who signed in, `None` if nobody did. `seconds` is the time until the answer was ready.
    """

    at: datetime
    method: str
    path: str
    query: Mapping[str, Json]
    body: Mapping[str, Json] | None
    auth_id: str | None
    status: int | None
    applied: bool
    seconds: float
    request_id: str


def redact(fields: Mapping[str, Json] | Mapping[str, str], depth: int = 2) -> dict[str, Json]:
    """Return `fields` with every value hidden but those known to be harmless."""
    return {
        name[:_MAX_SHOWN]: _shown(value, depth) if name in _SHOWN else REDACTED
        for name, value in fields.items()
    }


def _shown(value: Json, depth: int) -> Json:
    if isinstance(value, dict) and depth > 0:
        return redact(value, depth - 1)
    if isinstance(value, dict | list):
        return REDACTED
    return value[:_MAX_SHOWN] if isinstance(value, str) else value

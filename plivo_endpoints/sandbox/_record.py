"""The requests that the sandbox has received, without secrets and within a fixed amount of memory."""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import cast

from attrs import frozen

from plivo_endpoints.sandbox._json import Json

REDACTED = "[redacted]"

# An allowlist, so that an unforeseen field is hidden.
_SHOWN = frozenset(
    {"username", "alias", "app_id", "iss", "sub", "nbf", "exp", "app", "limit", "offset", "cursor"}
    | {"per", "voice", "incoming_allow", "outgoing_allow"}
)
# Limits for one request: characters of a string, fields of an object.
MAX_TEXT = 200
_MAX_FIELDS = 50

# Limits for all requests.
MAX_RECORDS = 100_000
MAX_BYTES = 128 * 2**20
_OWN_SIZE = 300  # bytes of the record itself, its numbers and its time


@frozen(kw_only=True)
class RequestRecord:
    """One request. Strings are cut to 200 characters, objects to 50 fields.

    Attributes:
        at: When its response was ready, in UTC.
        method: HTTP method.
        path: Its path, without the query.
        query: Its query, without secrets.
        body: Its body, without secrets; `None` if it had none that could be read.
        auth_id: The authenticated caller, or `None`.
        status: The status of the response; `None` if the connection was dropped without one.
        applied: Whether it changed the state or minted a token, whatever the response was.
        seconds: The time until the response was ready.
        request_id: The `X-Request-ID` of its response.
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


class RecentRequests:
    """The most recent requests that fit within the limits; may be read while another thread appends."""

    def __init__(self) -> None:
        self._records: deque[RequestRecord] = deque()
        self._bytes = 0

    def append(self, record: RequestRecord) -> None:
        """Add the latest request, and drop the oldest ones that no longer fit."""
        self._records.append(record)
        self._bytes += _record_size(record)
        while len(self._records) > MAX_RECORDS or self._bytes > MAX_BYTES:
            self._bytes -= _record_size(self._records.popleft())

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self._records.copy())

    def __reversed__(self) -> Iterator[RequestRecord]:
        return reversed(self._records.copy())

    def __len__(self) -> int:
        return len(self._records)


def redact(fields: Mapping[str, Json] | Mapping[str, str], depth: int = 2) -> dict[str, Json]:
    """Return the first of `fields`, with every value hidden except those known to be harmless."""
    return {
        name[:MAX_TEXT]: _shown(value, depth) if name in _SHOWN else REDACTED
        for name, value in islice(fields.items(), _MAX_FIELDS)
    }


def _shown(value: Json, depth: int) -> Json:
    if isinstance(value, dict) and depth > 0:
        return redact(value, depth - 1)
    if isinstance(value, dict | list):
        return REDACTED
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _record_size(record: RequestRecord) -> int:
    kept = (record.method, record.path, record.query, record.body, record.auth_id, record.request_id)
    return _OWN_SIZE + sum(_size(each) for each in kept)


def _size(value: object) -> int:
    """Return the bytes that a JSON value takes in memory."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        size += sum(_size(each) for field in fields.items() for each in field)
    return size

"""Errors travel between processes whole: type, message and attributes."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

import plivo_endpoints
from plivo_endpoints import (
    AmbiguousOutcomeError,
    APIError,
    ClientStateError,
    ConnectError,
    InvalidArgumentError,
    NotRegisteredError,
    OutcomeUnknownError,
    PlivoError,
    RateLimitedError,
    RateLimitStoreError,
    RequestTimeoutError,
    ResponseDecodeError,
    TransportError,
)

_WHERE = {"method": "POST", "path": "Endpoint/"}


def _make(kind: type[PlivoError]) -> PlivoError:
    if issubclass(kind, RateLimitedError):
        return kind(
            "slow", status=429, api_id="a-1", method="GET", path="Endpoint/", attempts=4, retry_after=7.5
        )
    if issubclass(kind, APIError):
        return kind("no", status=418, api_id="a-1", method="GET", path="Endpoint/", attempts=2)
    return EXAMPLES[kind]


EXAMPLES: dict[type[PlivoError], PlivoError] = {
    PlivoError: PlivoError("said"),
    RateLimitStoreError: RateLimitStoreError("said"),
    InvalidArgumentError: InvalidArgumentError("alias", "must be a non-empty string"),
    ClientStateError: ClientStateError("the client is closed"),
    NotRegisteredError: NotRegisteredError("17", timeout=2.5),
    TransportError: TransportError("reset", method="GET", path="Endpoint/", sent="unknown", attempts=3),
    ConnectError: ConnectError("refused", method="GET", path="Endpoint/", attempts=3),
    RequestTimeoutError: RequestTimeoutError(
        timeout=2.0, phase="response", method="GET", path="Endpoint/", sent="unknown", attempts=2
    ),
    AmbiguousOutcomeError: AmbiguousOutcomeError(
        "lost",
        method="POST",
        path="Application/",
        sent_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        status=None,
        api_id=None,
        reason="reset",
        attempts=1,
    ),
    OutcomeUnknownError: OutcomeUnknownError(
        username="alice",
        alias="desk",
        sent_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        endpoint_id="17",
        status=500,
        api_id="7f1c",
        reason="broken",
        attempts=2,
    ),
    ResponseDecodeError: ResponseDecodeError(
        "its body is empty", status=200, method="GET", path="Endpoint/", attempts=3, endpoint_id="17"
    ),
}
KINDS = [
    kind
    for kind in map(vars(plivo_endpoints).get, plivo_endpoints.__all__)
    if isinstance(kind, type) and issubclass(kind, PlivoError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_travels(kind: type[PlivoError]) -> None:
    """Pickled with any protocol and copied both ways it is the same, and so is its copy's copy."""
    error = _make(kind)
    error.add_note("noted")
    travelled = [pickle.loads(pickle.dumps(error, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301
    for again in [*travelled, copy.copy(error), copy.deepcopy(error), copy.copy(copy.copy(error))]:
        assert (type(again), str(again), again.args, vars(again)) == (
            kind,
            str(error),
            error.args,
            vars(error),
        )


def test_every_error_is_there() -> None:
    """The tree's public classes are all tested above."""
    assert len(KINDS) == 19

"""Async-first client for Plivo SIP endpoints and JWTs, with a sync facade. Unofficial.

A call takes this way, each step in the module named:

1. A method of a resource describes it (`_resources`), and it becomes a request (`_connections.Executor`,
   `_sansio.codec`).
2. It is tried until it succeeds or must not be tried again, within its timeout (`_middleware.RetryLoop`; the
   rules are in `_sansio.retry`).
3. Each attempt waits for its turn (`_middleware.RateLimited`, `_sansio.rate_limit`).
4. The request is sent once, with a record of whether it left (`_transport`, `_request_body`).
5. The response becomes a result or an error (`_sansio.codec`, `_models`, `_errors`).

The blocking client runs the same coroutines in a loop of its own (`_runner`, `_resources.blocking`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from plivo_endpoints._config import Priority, RateLimit
from plivo_endpoints._errors import (
    AmbiguousOutcomeError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientStateError,
    ConflictError,
    ConnectError,
    ForbiddenError,
    InvalidArgumentError,
    ListChangedWarning,
    NotFoundError,
    NotRegisteredError,
    OutcomeUnknownError,
    PlivoError,
    RateLimitedError,
    RateLimitStoreError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._models import (
    Acknowledgement,
    CreatedEndpoint,
    Endpoint,
    Page,
    PageMeta,
    Token,
    TokenClaims,
)
from plivo_endpoints._version import __version__

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient, Client
    from plivo_endpoints._events import (
        AttemptFinished,
        AttemptStarted,
        CallFinished,
        CallStarted,
        Event,
        RunFinished,
        RunPhaseStarted,
        RunStarted,
    )
    from plivo_endpoints._pagination import AsyncPaginator, Paginator
    from plivo_endpoints._postgres_rate_limit import PostgresRateLimit
    from plivo_endpoints._resources.blocking import Endpoints, Tokens
    from plivo_endpoints._resources.endpoints import AsyncEndpoints
    from plivo_endpoints._resources.tokens import AsyncTokens
    from plivo_endpoints._sansio.pacing import Pace, Reservation
    from plivo_endpoints._shared_rate_limit import SharedRateLimit
    from plivo_endpoints._shared_window import RateLimitStore
else:
    # The clients import asyncio, logging and more, which takes twice as long as the rest of the package. Code
    # that only handles errors and models does not need them.
    _LAZY: Final = {
        "AsyncClient": "_client",
        "Client": "_client",
        "AsyncEndpoints": "_resources.endpoints",
        "AsyncPaginator": "_pagination",
        "AsyncTokens": "_resources.tokens",
        "Endpoints": "_resources.blocking",
        "Tokens": "_resources.blocking",
        "Paginator": "_pagination",
        "Pace": "_sansio.pacing",
        "PostgresRateLimit": "_postgres_rate_limit",
        "Reservation": "_sansio.pacing",
        "RateLimitStore": "_shared_window",
        "SharedRateLimit": "_shared_rate_limit",
        "AttemptFinished": "_events",
        "AttemptStarted": "_events",
        "CallFinished": "_events",
        "CallStarted": "_events",
        "Event": "_events",
        "RunFinished": "_events",
        "RunPhaseStarted": "_events",
        "RunStarted": "_events",
    }

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})  # lazy attributes too, for tab completion


__all__ = [
    "APIError",
    "Acknowledgement",
    "AmbiguousOutcomeError",
    "AsyncClient",
    "AsyncEndpoints",
    "AsyncPaginator",
    "AsyncTokens",
    "AttemptFinished",
    "AttemptStarted",
    "AuthenticationError",
    "BadRequestError",
    "CallFinished",
    "CallStarted",
    "Client",
    "ClientStateError",
    "ConflictError",
    "ConnectError",
    "CreatedEndpoint",
    "Endpoint",
    "Endpoints",
    "Event",
    "ForbiddenError",
    "InvalidArgumentError",
    "ListChangedWarning",
    "NotFoundError",
    "NotRegisteredError",
    "OutcomeUnknownError",
    "Pace",
    "Page",
    "PageMeta",
    "Paginator",
    "PlivoError",
    "PostgresRateLimit",
    "Priority",
    "RateLimit",
    "RateLimitStore",
    "RateLimitStoreError",
    "RateLimitedError",
    "RequestTimeoutError",
    "Reservation",
    "ResponseDecodeError",
    "RunFinished",
    "RunPhaseStarted",
    "RunStarted",
    "ServerError",
    "SharedRateLimit",
    "Token",
    "TokenClaims",
    "Tokens",
    "TransportError",
    "__version__",
]

"""Async-first client for Plivo SIP endpoints and JWTs, with a sync facade. Unofficial."""

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._config import RateLimit
from plivo_endpoints._errors import (
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
    OutcomeUnknownError,
    PlivoError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._events import AttemptFinished, CallFinished
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

__all__ = [
    "APIError",
    "Acknowledgement",
    "AsyncClient",
    "AttemptFinished",
    "AuthenticationError",
    "BadRequestError",
    "CallFinished",
    "Client",
    "ClientStateError",
    "ConflictError",
    "ConnectError",
    "CreatedEndpoint",
    "Endpoint",
    "ForbiddenError",
    "InvalidArgumentError",
    "ListChangedWarning",
    "NotFoundError",
    "OutcomeUnknownError",
    "Page",
    "PageMeta",
    "PlivoError",
    "RateLimit",
    "RateLimitedError",
    "RequestTimeoutError",
    "ResponseDecodeError",
    "ServerError",
    "Token",
    "TokenClaims",
    "TransportError",
    "__version__",
]

"""The answers of a token endpoint, for any web framework."""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from plivo_endpoints._errors import (
    PlivoError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._request_models import kept_token_times
from plivo_endpoints._validation import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Token

LIFETIME: Final = timedelta(hours=1)
REFRESH_BEFORE: Final = timedelta(minutes=5)

_ORIGIN: Final = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
_NO_ORIGINS: Final = (
    "must be a collection of origins such as https://shop.example, in lower case and without a path"
)
_RETRY_AFTER: Final = 5  # seconds, if Plivo says nothing
_LOGGER: Final = logging.getLogger("plivo_endpoints.token_service")


@frozen(kw_only=True)
class Grant:
    """Who a visitor logs in as, and what they may do.

    Attributes:
        sub: Usually the `username` of an endpoint, with the digits that Plivo appended.
        app: The application that handles the calls.
        incoming_allow: Whether to allow incoming calls.
        outgoing_allow: Whether to allow outgoing calls.
    """

    sub: str
    app: str | None = None
    incoming_allow: bool = False
    outgoing_allow: bool = False


class AccessDeniedError(Exception):
    """Raised by the hook if a visitor gets no token.

    Args:
        message: What to tell the visitor.
        status: 401 if they have to log in first, 403 if they may not make calls.
    """

    def __init__(self, message: str = "access denied", *, status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@frozen(kw_only=True)
class Reply:
    """A response to a visitor."""

    status: int
    body: bytes = field(default=b"", repr=False)  # may hold a token
    headers: Mapping[str, str]


class TokenService:
    """Answers requests for tokens, with a client and the rules of one endpoint."""

    def __init__(
        self,
        client: AsyncClient,
        *,
        lifetime: timedelta,
        refresh_before: timedelta,
        allow_origins: Collection[str],
        passes: tuple[type[Exception], ...] = (),
    ) -> None:
        kept_token_times(lifetime, refresh_before)
        require("allow_origins", None if _are_origins(allow_origins) else _NO_ORIGINS)
        self._client = client
        self._lifetime = lifetime
        self._refresh_before = refresh_before
        self._origins = frozenset(allow_origins)
        self._passes = passes  # exceptions of the hook that are not for us

    async def reply(
        self, method: str, headers: Mapping[str, str], authorize: Callable[[], Awaitable[Grant]]
    ) -> Reply:
        """Return the response to a request.

        Args:
            method: Its HTTP method.
            headers: Its headers, with names in lower case.
            authorize: Calls the hook.
        """
        shared = self._shared_headers(headers.get("origin"))
        if method == "OPTIONS" and "Access-Control-Allow-Origin" in shared:
            asked = headers.get("access-control-request-headers", "")
            allowed = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": asked}
            return Reply(status=HTTPStatus.NO_CONTENT, headers={**shared, **allowed})
        if method != "POST":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "use POST", {**shared, "Allow": "POST"})
        try:
            token = await self._create(await authorize())
        except self._passes:
            raise
        except AccessDeniedError as denied:
            return _refusal(denied.status, denied.message, shared)
        except PlivoError as error:
            return _failure(error, shared)
        except Exception:
            _LOGGER.exception("the hook that authorises visitors failed")
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the token endpoint failed", shared)
        expires_at = token.expires_at.astimezone(UTC).isoformat()
        return _json(HTTPStatus.OK, {"jwt": token.jwt, "expires_at": expires_at}, shared)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _create(self, grant: Grant) -> Token:
        if not isinstance(grant, Grant):  # pyright: ignore[reportUnnecessaryIsInstance] - hooks may be untyped
            raise TypeError(f"the hook must return a Grant, not {type(grant).__name__}")
        return await self._client.tokens.cached(
            sub=grant.sub,
            app=grant.app,
            incoming_allow=grant.incoming_allow,
            outgoing_allow=grant.outgoing_allow,
            lifetime=self._lifetime,
            refresh_before=self._refresh_before,
        )

    def _shared_headers(self, origin: str | None) -> dict[str, str]:
        shared = {"Cache-Control": "no-store"}
        if self._origins:
            shared["Vary"] = "Origin"
        if origin in self._origins:
            shared |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
        return shared


def _are_origins(origins: object) -> bool:
    # A string is a collection of strings too.
    if isinstance(origins, str | bytes) or not hasattr(type(origins), "__iter__"):
        return False
    return all(isinstance(each, str) and _ORIGIN.fullmatch(each) for each in origins)  # type: ignore[attr-defined]


def _failure(error: PlivoError, headers: Mapping[str, str]) -> Reply:
    _LOGGER.warning("a visitor got no token: %s", error)
    status, text = _describe(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _refusal(status, text, headers)
    seconds = getattr(error, "retry_after", None) or _RETRY_AFTER
    return _refusal(status, text, {**headers, "Retry-After": str(math.ceil(seconds))})


def _describe(error: PlivoError) -> tuple[HTTPStatus, str]:
    if isinstance(error, RateLimitedError) or getattr(error, "phase", None) == "rate limit":
        return HTTPStatus.SERVICE_UNAVAILABLE, "too many requests, try again later"
    if isinstance(error, RequestTimeoutError):
        return HTTPStatus.GATEWAY_TIMEOUT, "the telephony service takes too long"
    if isinstance(error, TransportError | ServerError | ResponseDecodeError):
        return HTTPStatus.BAD_GATEWAY, "the telephony service is not available"
    # Wrong credentials, a grant that breaks a rule, a closed client: nothing that a visitor could do.
    return HTTPStatus.INTERNAL_SERVER_ERROR, "the token endpoint failed"


def _refusal(status: int, error: str, headers: Mapping[str, str]) -> Reply:
    return _json(status, {"error": error}, headers)


def _json(status: int, fields: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
    body = json.dumps(fields).encode()
    return Reply(status=status, body=body, headers={**headers, "Content-Type": "application/json"})

"""The answers of a token endpoint, for any web framework."""

from __future__ import annotations

import inspect
import json
import logging
import math
import re
from datetime import UTC, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, cast

from attrs import field, frozen

from plivo_endpoints._client import AsyncClient
from plivo_endpoints._errors import (
    APIError,
    PlivoError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._request_models import cached_token_times
from plivo_endpoints._validation import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from plivo_endpoints._models import Token

LIFETIME: Final = timedelta(hours=1)  # not more, since Plivo cannot revoke a token

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORT: Final = re.compile(r"http:.*:80|https:.*:443")
_NO_ORIGINS: Final = (
    "must be a list of origins as browsers send them, such as https://shop.example: in lower case, without "
    "a path and without the scheme's own port"
)
_RETRY_AFTER: Final = 5  # seconds, if Plivo says nothing
_LONGEST_RETRY_AFTER: Final = 3600
_FAILED: Final = "the token endpoint failed"
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
    """Raised by `authorize` if a visitor gets no token.

    Args:
        message: What to tell the visitor.
        status: 401 if they have to log in first, 403 if they may not make calls.

    Raises:
        ValueError: If `status` is another.
    """

    def __init__(self, message: str = "access denied", *, status: Literal[401, 403] = 403) -> None:
        super().__init__(message)
        if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ValueError("status must be 401 or 403")
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
        authorize: object,
        *,
        lifetime: timedelta,
        refresh_before: timedelta,
        allow_origins: Collection[str],
        reraise: tuple[type[Exception], ...] = (),
    ) -> None:
        _check_parts(client, authorize)
        cached_token_times(lifetime, refresh_before)
        require("allow_origins", None if _are_origins(allow_origins) else _NO_ORIGINS)
        self._client = client
        self._lifetime = lifetime
        self._refresh_before = refresh_before
        self._origins = frozenset(allow_origins)
        self._reraise = reraise  # exceptions of `authorize` that the web framework handles

    async def reply(
        self, method: str, headers: Mapping[str, str], authorize: Callable[[], Awaitable[Grant]]
    ) -> Reply:
        """Return the response to a request.

        Args:
            method: Its HTTP method.
            headers: Its headers, with names in lower case.
            authorize: Calls the user's function.
        """
        shared = self._shared_headers(headers.get("origin"))
        if method == "OPTIONS" and "Access-Control-Allow-Origin" in shared:
            asked = headers.get("access-control-request-headers", "")
            allowed = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": asked}
            return Reply(status=HTTPStatus.NO_CONTENT, headers={**shared, **allowed})
        if method != "POST":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "use POST", {**shared, "Allow": "POST"})
        try:
            token = await self._create_token(await _call(authorize))
        except self._reraise:
            raise
        except AccessDeniedError as denied:
            return _refusal(denied.status, str(denied.message), shared)
        except PlivoError as error:
            return _failure(error, shared)
        except Exception:
            _LOGGER.exception("authorize failed, so a visitor got no token")
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED, shared)
        expires_at = token.expires_at.astimezone(UTC).isoformat()
        return _json(HTTPStatus.OK, {"jwt": token.jwt, "expires_at": expires_at}, shared)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _create_token(self, grant: Grant) -> Token:
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
            shared |= {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Expose-Headers": "Retry-After",
            }
        return shared


def _check_parts(client: object, authorize: object) -> None:
    require("client", None if isinstance(client, AsyncClient) else "must be an AsyncClient")
    require("authorize", None if callable(authorize) else "must be an async function")


def _are_origins(origins: object) -> bool:
    # No text, which is a collection of texts too, and no iterator, which can be read only once.
    if not isinstance(origins, list | tuple | set | frozenset):
        return False
    return all(
        isinstance(each, str) and _ORIGIN.fullmatch(each) and not _DEFAULT_PORT.fullmatch(each)
        for each in cast("Collection[object]", origins)
    )


async def _call(authorize: Callable[[], Awaitable[Grant]]) -> Grant:
    # It may be untyped code.
    outcome: object = authorize()
    if not inspect.isawaitable(outcome):
        raise TypeError("authorize must be an async function")
    grant = await outcome
    if not isinstance(grant, Grant):  # pyright: ignore[reportUnnecessaryIsInstance] - see above
        raise TypeError(f"authorize must return a Grant, not {type(grant).__name__}")
    return grant


def _failure(error: PlivoError, headers: Mapping[str, str]) -> Reply:
    status, text = _describe(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOGGER.error("a visitor got no token: %s", error)
        return _refusal(status, text, headers)
    _LOGGER.warning("a visitor got no token: %s", error)
    seconds = (isinstance(error, APIError) and error.retry_after) or _RETRY_AFTER
    retry_after = math.ceil(min(seconds, _LONGEST_RETRY_AFTER))
    return _refusal(status, text, {**headers, "Retry-After": str(retry_after)})


def _describe(error: PlivoError) -> tuple[HTTPStatus, str]:
    if isinstance(error, RateLimitedError) or (
        isinstance(error, RequestTimeoutError) and error.phase == "rate limit"
    ):
        return HTTPStatus.SERVICE_UNAVAILABLE, "too many requests, try again later"
    if isinstance(error, RequestTimeoutError):
        return HTTPStatus.GATEWAY_TIMEOUT, "the telephony service takes too long"
    if isinstance(error, TransportError | ServerError | ResponseDecodeError):
        return HTTPStatus.BAD_GATEWAY, "the telephony service is not available"
    # Wrong credentials, a grant that breaks a rule, a closed client: nothing that a visitor could do.
    return HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED


def _refusal(status: int, error: str, headers: Mapping[str, str]) -> Reply:
    return _json(status, {"error": error}, headers)


def _json(status: int, fields: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
    body = json.dumps(fields).encode()
    return Reply(status=status, body=body, headers={**headers, "Content-Type": "application/json"})

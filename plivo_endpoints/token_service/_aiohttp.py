"""The token endpoint as a handler of aiohttp.web."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from plivo_endpoints._request_models import REFRESH_BEFORE
from plivo_endpoints.token_service._service import LIFETIME, TokenService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import timedelta

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.token_service._service import Grant


def aiohttp_handler(
    client: AsyncClient,
    authorize: Callable[[web.Request], Awaitable[Grant]],
    *,
    lifetime: timedelta = LIFETIME,
    refresh_before: timedelta = REFRESH_BEFORE,
    allow_origins: Collection[str] = (),
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that gives visitors tokens.

    Add it with `router.add_post`, or with `add_route("*", …)` for pages of other origins, whose browsers send
    OPTIONS first. It responds with `{"jwt": …, "expires_at": …}`, and if it has no token, with
    `{"error": …}`: 401 or 403 as `authorize` says; 503 if the rate limit leaves no place, 504 or 502 if Plivo
    does not answer, all three with Retry-After; 500 if `authorize` fails, or the account's credentials are
    wrong. The log on `plivo_endpoints.token_service` says why; it never contains a token.

    Args:
        client: A client, which the caller closes.
        authorize: Awaited with each request; returns a `Grant`. It raises `AccessDeniedError` or one of
            aiohttp's HTTP exceptions if the visitor gets no token.
        lifetime: How long a new token lasts, 3 minutes to 24 hours.
        refresh_before: The least time that a token has left; see `tokens.cached`.
        allow_origins: Origins of other sites whose pages may ask for tokens, with the visitor's cookies; none
            by default.

    Raises:
        InvalidArgumentError: If an argument is invalid.
    """
    service = TokenService(
        client,
        authorize,
        lifetime=lifetime,
        refresh_before=refresh_before,
        allow_origins=allow_origins,
        reraise=(web.HTTPException,),
    )

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = await service.reply(request.method, headers, lambda: authorize(request))
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    return handle

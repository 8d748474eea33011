"""The token endpoint as an ASGI app: https://asgi.readthedocs.io/en/stable/specs/www.html."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from plivo_endpoints._request_models import REFRESH_BEFORE
from plivo_endpoints.token_service._service import LIFETIME, TokenService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
    from datetime import timedelta

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.token_service._service import Grant, Reply

    Scope: TypeAlias = MutableMapping[str, object]
    Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, object]]]
    Send: TypeAlias = Callable[[dict[str, object]], Awaitable[None]]


def asgi_app(
    client: AsyncClient,
    authorize: Callable[[Scope], Awaitable[Grant]],
    *,
    lifetime: timedelta = LIFETIME,
    refresh_before: timedelta = REFRESH_BEFORE,
    allow_origins: Collection[str] = (),
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an ASGI app that gives visitors tokens, for POST requests on any path.

    Add it to a route of another app, or serve it on its own; then it closes the client when the server stops.
    Its responses are those of `aiohttp_handler`.

    Args:
        client: A client. If the app is part of another, the caller closes it.
        authorize: Awaited with the ASGI scope of each request; returns a `Grant`. It raises
            `AccessDeniedError` if the visitor gets no token.
        lifetime: How long a new token lasts, 3 minutes to 24 hours.
        refresh_before: The least time that a token has left; see `tokens.cached`.
        allow_origins: Origins of other sites whose pages may ask for tokens, with the visitor's cookies; none
            by default.

    Raises:
        InvalidArgumentError: If an argument is invalid.
    """
    service = TokenService(
        client, authorize, lifetime=lifetime, refresh_before=refresh_before, allow_origins=allow_origins
    )
    return _App(service, authorize)


class _App:
    # Not a function, which Starlette's routes would take for a view.
    def __init__(self, service: TokenService, authorize: Callable[[Scope], Awaitable[Grant]]) -> None:
        self._service = service
        self._authorize = authorize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(self._service, receive, send)
        elif scope["type"] == "http":
            method, headers = str(scope["method"]), _headers(scope)
            reply = await self._service.reply(method, headers, lambda: self._authorize(scope))
            await _respond(reply, send)
        else:
            raise ValueError(f"a token endpoint cannot serve {scope['type']}")


async def _live(service: TokenService, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await service.close()
    await send({"type": "lifespan.shutdown.complete"})


def _headers(scope: Scope) -> dict[str, str]:
    pairs = cast("Iterable[tuple[bytes, bytes]]", scope["headers"])
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


async def _respond(reply: Reply, send: Send) -> None:
    length = {"Content-Length": str(len(reply.body))} if reply.body else {}
    headers = {**reply.headers, **length}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(reply.status), "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body})

"""The token endpoint as an ASGI app: served alone, and as a route of FastAPI."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.routing import Route

from plivo_endpoints import AsyncClient
from plivo_endpoints.token_service import AccessDeniedError, Grant, asgi_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, MutableMapping

client = AsyncClient()


async def authorize(scope: MutableMapping[str, object]) -> Grant:
    """Let in who has a cookie."""
    user = Request(scope).cookies.get("user")
    if user is None:
        raise AccessDeniedError("log in first", status=401)
    return Grant(sub=user, outgoing_allow=True)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Close the client with the server."""
    async with client:
        yield


alone = asgi_app(client, authorize)
app = FastAPI(lifespan=lifespan, routes=[Route("/token", asgi_app(client, authorize))])

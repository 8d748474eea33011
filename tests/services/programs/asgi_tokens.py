"""The token endpoint as an ASGI app: served alone, and mounted in FastAPI."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request

from plivo_endpoints import AsyncClient
from plivo_endpoints.token_service import AccessDeniedError, Grant, asgi_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

client = AsyncClient()


async def authorize(scope: Mapping[str, object]) -> Grant:
    """Let in who has a cookie."""
    user = Request(dict(scope)).cookies.get("user")
    if user is None:
        raise AccessDeniedError("log in first", status=401)
    return Grant(sub=user, outgoing_allow=True)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Close the client with the server."""
    async with client:
        yield


alone = asgi_app(client, authorize)
app = FastAPI(lifespan=lifespan)
app.mount("/token", asgi_app(client, authorize))

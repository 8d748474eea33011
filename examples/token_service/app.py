"""A web site whose visitors log in, and then get tokens with which their browsers can call; see README.md."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import users
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Route

from plivo_endpoints import AsyncClient
from plivo_endpoints.token_service import AccessDeniedError, Grant, asgi_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, MutableMapping

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")
log = logging.getLogger("site")

PAGE = Path(__file__).with_name("index.html")
SESSION_SECRET = os.environ["SESSION_SECRET"]  # the same for all workers; a new one logs everybody out

# The account: PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN. The quota that all workers share: PLIVO_RATE_LIMIT.
client = AsyncClient(timeout=5.0)


class Login(BaseModel):
    """What a visitor types."""

    name: str
    password: str


async def authorize(scope: MutableMapping[str, object]) -> Grant:
    """Let visitors call who are logged in, as their own endpoint."""
    name = Request(scope).session.get("name")
    sip_username = name and await run_in_threadpool(users.sip_username_of, name)
    if not sip_username:
        raise AccessDeniedError("log in first", status=401)
    return Grant(sub=sip_username, incoming_allow=True, outgoing_allow=True)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Close the client when the server stops."""
    async with client:
        log.info("ready")
        yield
    log.info("closed")


app = FastAPI(lifespan=lifespan, routes=[Route("/token", asgi_app(client, authorize))])
app.add_middleware(
    SessionMiddleware,
    secret_key=SESSION_SECRET,
    max_age=8 * 3600,
    same_site="strict",  # other sites cannot make a visitor's browser log in, or fetch a token
    https_only=os.environ.get("COOKIES_OVER_HTTP") != "1",
)


@app.get("/")
async def page() -> FileResponse:
    """Show the page where visitors log in."""
    return FileResponse(PAGE)


@app.post("/login", status_code=204)
async def login(request: Request, typed: Login) -> Response:
    """Start a session."""
    if not await run_in_threadpool(users.may_log_in, typed.name, typed.password):
        log.warning("a login failed")
        raise HTTPException(401, "wrong name or password")
    request.session["name"] = typed.name
    return Response(status_code=204)


@app.post("/logout", status_code=204)
async def logout(request: Request) -> Response:
    """End the session; tokens that were handed out work until they expire."""
    request.session.clear()
    return Response(status_code=204)


@app.get("/health")
async def health() -> dict[str, str]:
    """Tell a load balancer that this worker answers; Plivo is not asked, as its outages are not ours."""
    return {"status": "ok"}

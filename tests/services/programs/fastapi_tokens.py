"""A token service on FastAPI, with one client for each worker process."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import FastAPI

from plivo_endpoints import AsyncClient, RateLimit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WORKERS = 2
HOUR = timedelta(hours=1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Keep a client while the worker serves, with this worker's share of the account's quota."""
    async with AsyncClient(rate_limit=RateLimit(290 // WORKERS, 5.0)) as app.state.plivo:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/tokens/{username}")
async def create_token(username: str) -> dict[str, str | int]:
    """Mint a token for a visitor."""
    client: AsyncClient = app.state.plivo
    token = await client.tokens.create(sub=username, outgoing_allow=True, lifetime=HOUR)
    return {"jwt": token.jwt, "pid": os.getpid()}

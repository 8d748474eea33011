"""Retries beyond those of the client: a run of hours must survive a minute of transient failures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from plivo_endpoints._errors import RateLimitedError, ResponseDecodeError, ServerError, TransportError
from plivo_endpoints._events import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PASSING: Final = (TransportError, ServerError, RateLimitedError, ResponseDecodeError)
_PAUSES: Final = (0.5, 2.0, 8.0, 30.0)  # seconds


async def retry_transient(call: Callable[[], Awaitable[T]]) -> T:
    """Await `call` and return its result, retrying transient failures; `call` must be safe to repeat."""
    for pause in _PAUSES:
        try:
            return await call()
        except PASSING as error:
            logger.warning("%s; retrying in %g s", error, pause)
            await asyncio.sleep(pause)
    return await call()

"""Trying again, beyond what the client does: a run of hours must not end over a minute of bad weather."""

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
    """Return what `call` does; only for what may be done twice."""
    for pause in _PAUSES:
        try:
            return await call()
        except PASSING as error:
            logger.warning("%s; tried again in %g s", error, pause)
            await asyncio.sleep(pause)
    return await call()

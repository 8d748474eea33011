"""What a run does about failures: retry those that may pass, and stop when no row gets through any more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from plivo_endpoints._errors import (
    BadRequestError,
    ConflictError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._events import logger
from plivo_endpoints.provisioning._errors import OutageError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._errors import CallError

T = TypeVar("T")

# Plivo refuses this row. Any other refusal (credentials, permission, a proxy's redirect) affects every row.
ABOUT_THE_ROW: Final = (BadRequestError, ConflictError)
# Plivo cannot be reached or accepts no more requests for now: the row is tried again later.
UNREACHABLE: Final = (TransportError, RateLimitedError)
BROKEN: Final = (ServerError, ResponseDecodeError)  # raised only after several retries, where those are safe
_QUEUE_PATIENCE: Final = 10  # times as long, as other programs that share the quota may go first
_PAUSES: Final = (0.5, 2.0, 8.0, 30.0)  # seconds


async def retry_transient(call: Callable[[], Awaitable[T]]) -> T:
    """Await `call` and return its result, retrying beyond what the client does; it must be safe to repeat.

    A run of hours must survive a minute of transient failures.
    """
    for pause in _PAUSES:
        try:
            return await call()
        except (*UNREACHABLE, *BROKEN) as error:
            logger.warning("%s; retrying in %g s", error, pause)
            await asyncio.sleep(pause)
    return await call()


class Outage:
    """Counts failures in succession, and raises when no row gets through any more."""

    def __init__(
        self, *, most_lost: int, most_refused: int, patience: float = 60.0, pause: float = 1.0
    ) -> None:
        self.most_lost = most_lost
        self._most_refused = most_refused
        self._patience = patience
        self._pause = pause
        self._lost = 0
        self._refused = 0
        self._unsent_since: float | None = None

    def done(self) -> None:
        """Record a success."""
        self._lost, self._refused, self._unsent_since = 0, 0, None

    def refused(self, reason: str) -> None:
        """Record that Plivo refused a row; raise `RefusedError` if too many in succession were refused."""
        self._lost, self._refused, self._unsent_since = 0, self._refused + 1, None
        if self._refused >= self._most_refused:
            raise RefusedError(f"Plivo refused {self._refused} rows in succession; the last: {reason}")

    def lost(self, reason: str) -> None:
        """Record a lost response; raise `OutageError` if too many in succession were lost."""
        self._lost, self._unsent_since = self._lost + 1, None
        if self._lost >= self.most_lost:
            raise OutageError(f"the responses to {self._lost} requests in succession were lost: {reason}")

    async def unsent(self, error: CallError) -> None:
        """Record that nothing could be sent, and wait; raise `OutageError` if it lasts too long."""
        is_queued = isinstance(error, RequestTimeoutError) and error.phase == "rate limit"
        patience = _QUEUE_PATIENCE * self._patience if is_queued else self._patience
        now = time.monotonic()
        if self._unsent_since is None:  # warn once, not in every worker
            logger.warning("cannot send requests: %s; retrying for %g s", error, patience)
        self._unsent_since = since = now if self._unsent_since is None else self._unsent_since
        if now - since >= patience:
            raise OutageError(f"no request could be sent for {now - since:.0f} s: {error}")
        await asyncio.sleep(self._pause)

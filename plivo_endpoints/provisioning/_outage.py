"""Noticing when no row gets through any more, so that a run stops instead of trying them all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import (
    BadRequestError,
    ConflictError,
    RateLimitedError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._events import logger
from plivo_endpoints.provisioning._errors import OutageError, RefusedError

if TYPE_CHECKING:
    from plivo_endpoints._errors import CallError

# Plivo refuses the row. Any other refusal (credentials, permission, a proxy's redirect) would meet every row.
ABOUT_THE_ROW: Final = (BadRequestError, ConflictError)
UNSENT: Final = (TransportError, RateLimitedError)
BROKEN: Final = (
    ServerError,
    ResponseDecodeError,
)  # what may be done twice has been tried several times by then


class Outage:
    """Notices when no row gets through any more, so that a run stops instead of trying them all."""

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
        """Plivo did what a row asks for."""
        self._lost, self._refused, self._unsent_since = 0, 0, None

    def refused(self, reason: str) -> None:
        """Plivo refused a row; raise if it is one too many in a row."""
        self._lost, self._refused, self._unsent_since = 0, self._refused + 1, None
        if self._refused >= self._most_refused:
            raise RefusedError(f"Plivo refused {self._refused} rows one after the other; the last: {reason}")

    def lost(self, reason: str) -> None:
        """An answer was lost; raise if it is one too many in a row."""
        self._lost, self._unsent_since = self._lost + 1, None
        if self._lost >= self.most_lost:
            raise OutageError(f"{self._lost} creates in a row had no answer that could be read: {reason}")

    async def unsent(self, error: CallError) -> None:
        """A create could not be sent; wait a little, raise if it goes on for too long."""
        now = time.monotonic()
        if self._unsent_since is None:  # told once, not by every worker
            logger.warning("nothing can be sent: %s; tried again for %g s", error, self._patience)
        self._unsent_since = since = now if self._unsent_since is None else self._unsent_since
        if now - since >= self._patience:
            raise OutageError(f"nothing could be sent for {now - since:.0f} s: {error}")
        await asyncio.sleep(self._pause)

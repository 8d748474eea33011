"""Sending one create, with the intent written before the first byte and the result after the last."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import (
    BadRequestError,
    CallError,
    ConflictError,
    OutcomeUnknownError,
    RateLimitedError,
    TransportError,
)
from plivo_endpoints._events import logger
from plivo_endpoints._resources.endpoints import create_after
from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._canary import check_answer
from plivo_endpoints.provisioning._errors import CanaryError, OutageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._requests import NewEndpoint
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._states import Entry

# Plivo refuses the row. Any other refusal (credentials, permission, a proxy's redirect) would meet every row.
ABOUT_THE_ROW: Final = (BadRequestError, ConflictError)
UNSENT: Final = (TransportError, RateLimitedError)


class Outage:
    """Notices when no row gets through any more, so that a run stops instead of trying them all."""

    def __init__(self, *, most_lost: int, patience: float = 60.0, pause: float = 1.0) -> None:
        self._most_lost = most_lost
        self._patience = patience
        self._pause = pause
        self._lost = 0
        self._unsent_since: float | None = None

    def answered(self) -> None:
        """Plivo had an answer for a row."""
        self._lost, self._unsent_since = 0, None

    def lost(self, reason: str) -> None:
        """An answer was lost; raise if it is one too many in a row."""
        self._lost, self._unsent_since = self._lost + 1, None
        if self._lost >= self._most_lost:
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


class Create:
    """One row on its way."""

    def __init__(
        self, journal: Entries, entry: Entry, *, surprised: Callable[[Entry], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._entry = entry
        self._surprised = surprised

    async def send(self, client: AsyncClient, new: NewEndpoint, outage: Outage) -> Entry:
        """Send the create once; return the entry as it is in the journal after that.

        It is still NEW where nothing was sent. Cancelled, it leaves an INTENT, which the next run decides on.

        Raises:
            JournalError: The intent or the result could not be written.
            CanaryError: It came out otherwise than asked for.
            OutageError: No row gets through any more.
            CallError: Plivo refused for a reason that every row would meet.
        """
        try:
            made = await create_after(client.endpoints, new, self._intend)
        except OutcomeUnknownError as error:
            await self._become(states.parked(self._entry, error.reason))
            outage.lost(error.reason)
        except ABOUT_THE_ROW as error:
            await self._become(states.refused(self._entry, f"Plivo refused it: {error.message or error}"))
            outage.answered()
        except CallError as error:
            await self._release()
            if not isinstance(error, UNSENT):
                raise
            await outage.unsent(error)
        else:
            outage.answered()
            await self._finish(states.created(self._entry, made.endpoint_id, made.username), made.alias)
        return self._entry

    async def _finish(self, made: Entry, alias: str | None) -> None:
        try:
            check_answer(made, alias)
        except CanaryError:
            await self._surprised(made)  # first: should this process end now, the next must know
            await self._become(made)
            raise
        await self._become(made)

    async def _intend(self) -> None:
        """Write the intent; again, if the disk took so long that it no longer entitles to send."""
        while True:
            await self._become(states.stamp(self._entry, time.time()))
            if states.is_fresh(self._entry, time.time()):
                return

    async def _release(self) -> None:
        if self._entry.state is states.State.INTENT:
            await self._become(states.released(self._entry))

    async def _become(self, after: Entry) -> None:
        # Noted first: the journal carries out what it was asked for even if this wait is cut short.
        before, self._entry = self._entry, after
        await self._journal.save([(before, after)])

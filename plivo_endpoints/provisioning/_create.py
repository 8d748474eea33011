"""Send one create: write the intent before the first byte leaves, and the result after the response."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plivo_endpoints._errors import CallError, OutcomeUnknownError
from plivo_endpoints._resources.endpoints import create_after
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._canary import check_answer
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import CanaryError
from plivo_endpoints.provisioning._outage import ABOUT_THE_ROW, UNREACHABLE
from plivo_endpoints.provisioning._state._protocol import ClaimLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._request_models import NewEndpoint
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._outage import Outage
    from plivo_endpoints.provisioning._state._protocol import EntryStore


class CreateSender:
    """Sends the create of one row."""

    def __init__(
        self, state: EntryStore, entry: Entry, *, on_mismatch: Callable[[Entry], Awaitable[None]]
    ) -> None:
        self._state = state
        self._entry = entry
        self._on_mismatch = on_mismatch

    async def send(self, client: AsyncClient, new: NewEndpoint, outage: Outage) -> Entry:
        """Send the create once; return the entry as it is in the state afterwards.

        The entry is still NEW if nothing was sent. Cancellation leaves an INTENT for the next run to resolve.

        Raises:
            StateError: The intent or the result could not be written.
            CanaryError: The endpoint does not match the request.
            OutageError: No row gets through any more.
            RefusedError: Plivo refused too many rows in succession.
            CallError: Plivo refused for a reason that applies to every row.
        """
        try:
            made = await create_after(client.endpoints, new, self._intend)
        except OutcomeUnknownError as error:
            await self._become(states.parked(self._entry, error.reason))
            outage.lost(error.reason)
        except ABOUT_THE_ROW as error:
            await self._become(states.refused(self._entry, f"Plivo refused it: {error.message or error}"))
            outage.refused(error.message or str(error))
        except CallError as error:
            await self._release()
            if not isinstance(error, UNREACHABLE):
                raise
            await outage.unsent(error)
        else:
            outage.done()
            await self._finish(states.created(self._entry, made.endpoint_id, made.username), made.alias)
        return self._entry

    async def _finish(self, made: Entry, alias: str | None) -> None:
        try:
            check_answer(made, alias)
        except CanaryError:
            await self._on_mismatch(made)  # first: if this process ends now, the next one must know
            await self._become(made)
            raise
        try:
            await self._become(made)
        except ClaimLostError as error:
            raise ClaimLostError(f"{error}, before endpoint {made.endpoint_id} was created for it") from None

    async def _intend(self) -> float:
        """Write the intent, again if that took so long that it is no longer fresh; return until when it is.

        A process can be stopped at any moment, for so long that another one takes over the row. So
        the time is checked once more right before the first byte leaves.
        """
        while True:
            begun = time.monotonic()
            await self._become(states.stamp(self._entry, time.time()))
            if states.is_fresh(self._entry, time.time()):
                return begun + states.SEND_GUARD

    async def _release(self) -> None:
        if self._entry.state is RowState.INTENT:
            await self._become(states.released(self._entry))

    async def _become(self, after: Entry) -> None:
        # Assigned first: the state completes the write even if this wait is cancelled.
        before, self._entry = self._entry, after
        await self._state.save([(before, after)])

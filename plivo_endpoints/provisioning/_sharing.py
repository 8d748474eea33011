"""How a process waits for the others of its run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._reach import account_of
from plivo_endpoints.provisioning._state._postgres import PostgresState

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._state._protocol import FleetState, JointState

POLL: Final = 0.5  # seconds between two looks at what others have done


async def own_account(state: FleetState, client: AsyncClient) -> None:
    """Raise `StateError` if a run of another fleet in the same database works on the client's account."""
    if isinstance(state, PostgresState):
        await state.lead(account_of(client))


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until the run is to stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def revoke_claims(joint: JointState, stopping: asyncio.Event) -> None:
    """Take back all rows from other processes, and wait until none of them can have a create in flight."""
    while await joint.revoke_claims() and not stopping.is_set():
        await pause(stopping, POLL)

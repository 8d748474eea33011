"""How a process waits for the others of its run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._state._protocol import JointState

POLL: Final = 0.5  # seconds between two looks at what others have done


async def wait_for(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until the run is to stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def take_back(joint: JointState, stopping: asyncio.Event) -> None:
    """Take back all rows from other processes, and wait until none of them can have a create in flight."""
    while await joint.take_back() and not stopping.is_set():
        await wait_for(stopping, POLL)

"""The methods of a fleet as functions, with client and state among the arguments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plivo_endpoints.provisioning import AsyncFleet, SqliteState
from plivo_endpoints.provisioning import _maintenance as maintenance
from plivo_endpoints.provisioning import _results as results
from plivo_endpoints.provisioning._source import source_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import (
        Duplicate,
        FleetState,
        Outcome,
        Plan,
        Report,
        Run,
        SipCredentials,
        Source,
    )

    State = str | Path | FleetState


def apply(
    client: AsyncClient, source: Source, *, state: State, master_key: str | None = None, **options: Any
) -> AbstractAsyncContextManager[Run]:
    """Apply a source."""
    return AsyncFleet(client, state, master_key=master_key).apply(source, **options)


async def leave_in_doubt(client: AsyncClient, rows: Source, state: State, **options: Any) -> None:
    """Apply until there is nothing left but creates whose answer was lost, and leave them so."""
    async with apply(client, rows, state=state, settle=60.0, **options) as run:
        while run.progress.phase != "settling":
            await asyncio.sleep(0.01)
        run.stop()


async def plan(
    client: AsyncClient,
    source: Source,
    *,
    state: State | None = None,
    master_key: str | None = None,
    only: Collection[str] | None = None,
) -> Plan:
    """Plan; without a state in one that is not there."""
    return await AsyncFleet(client, state or "absent.db", master_key=master_key).plan(source, only=only)


async def audit(client: AsyncClient, state: State) -> Report:
    """Audit."""
    return await AsyncFleet(client, state).audit()


async def prune(client: AsyncClient, state: State) -> tuple[Duplicate, ...]:
    """Delete the duplicates that the last audit found deletable."""
    return await AsyncFleet(client, state).delete_duplicates()


async def read_report(state: Path) -> Report:
    """Return where a fleet stands, without a client."""
    return await maintenance.read_report(SqliteState(state))


def read_outcomes(state: Path) -> AsyncGenerator[Outcome]:
    """Return what came of each row, without a client."""
    return results.read_outcomes(SqliteState(state))


def read_credentials(
    state: Path, source: Source, *, master_key: str | None = None
) -> AsyncGenerator[SipCredentials]:
    """Return the same with passwords."""
    return results.read_credentials(SqliteState(state), source_of(source), master_key)

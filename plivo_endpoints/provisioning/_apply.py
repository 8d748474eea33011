"""A run as its caller sees it: opening it, following it, leaving it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints.provisioning._account_lock import account_locked
from plivo_endpoints.provisioning._attach import attach, check_keys
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._reach import account_of
from plivo_endpoints.provisioning._report import Report
from plivo_endpoints.provisioning._run import Job, Phases
from plivo_endpoints.provisioning._state._counting import Channel, CountingState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._report import Outcome, Status
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._run import Phase
    from plivo_endpoints.provisioning._state._protocol import FleetState

_GRACE: Final = 5.0  # seconds for creates under way, when a run is left


@frozen(kw_only=True)
class Progress:
    """Where a run is right now.

    Attributes:
        phase: What it is at.
        counts: Rows by status.
        waiting: Of the unprocessed, those whose create was lost, so that it may have happened or not.
        settles_in: Seconds until these can be decided on, while the run waits for that; else `None`.
    """

    phase: Phase
    counts: Mapping[Status, int]
    waiting: int
    settles_in: float | None = None


class Run:
    """A run under way: iterate over it for the outcomes of the rows that it finishes, as it does.

    What an interrupted run had finished is in the report, but does not come again. Leave the block without
    iterating, and it runs to its end; leave it in the middle, and it begins no further row, gives those under
    way 5 s, and leaves the state right. An error that stops the run is raised by the iteration, after the
    outcomes that came before it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._phases = Phases(job)
        self._work = asyncio.create_task(self._phases.work())
        self._is_told = False
        self._is_followed = False

    async def __aiter__(self) -> AsyncGenerator[Outcome]:
        self._is_followed = True
        while (outcome := await self._job.outcomes.get()) is not None:
            yield outcome
        self._is_told = True
        await self._work

    @property
    def progress(self) -> Progress:
        """Where it is now."""
        state = self._job.state
        return Progress(
            phase=self._phases.phase,
            counts=state.counts,
            waiting=state.number_of(RowState.PARKED),
            settles_in=self._phases.settles_in,
        )

    @property
    def report(self) -> Report:
        """Where all rows stand, those of earlier processes included."""
        audit = self._phases.audit
        return Report(
            counts=self._job.state.counts,
            duplicates=audit.duplicates if audit else (),
            audited=audit is not None,
            gone=self._job.state.gone,
            appeared=audit.appeared if audit else 0,
        )

    def stop(self) -> None:
        """Begin no further row; the iteration ends once those under way are finished."""
        self._is_followed = True
        self._phases.stop()

    async def complete(self) -> None:
        """Run to the end, where nobody has asked for the outcomes."""
        if not self._is_followed:
            async for _ in self:
                pass

    async def end(self) -> None:
        """Let creates under way finish, begin no others, and raise an error that nobody was told."""
        self._phases.stop()
        grace = _GRACE if self._phases.phase in {"canary", "creating", "updating", "deleting"} else 0.0
        try:
            self._job.outcomes.close()
            await asyncio.wait({self._work}, timeout=grace)
        finally:  # also if the grace is cut short: the work needs the state, which is closed next
            self._work.cancel()
            (ended,) = await asyncio.gather(self._work, return_exceptions=True)
        if isinstance(ended, Exception) and not self._is_told:
            raise ended


@asynccontextmanager
async def follow(
    client: AsyncClient, source: RowSource, state: FleetState, master_key: str | None, options: Options
) -> AsyncGenerator[Run]:
    """Open a run and follow it to its end, or leave it: see `AsyncFleet.apply`."""
    with account_locked(account_of(client)):
        await state.open()
        try:
            await check_keys(options.only, source, state)
            contents, deriver = await attach(client, source, state, master_key, options.plan)
            outcomes = Channel()
            job = Job(
                client=client,
                source=source,
                contents=contents,
                state=CountingState(state, outcomes, options.only),
                outcomes=outcomes,
                deriver=deriver,
                options=options,
            )
            async with _followed(Run(job)) as run:
                yield run
        finally:
            await state.close()


@asynccontextmanager
async def _followed(run: Run) -> AsyncGenerator[Run]:
    try:
        yield run
        await run.complete()
    except BaseException:
        with suppress(Exception):  # the caller's own error is the one to raise
            await run.end()
        raise
    await run.end()

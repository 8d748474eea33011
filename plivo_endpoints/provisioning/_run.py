"""A run as its caller sees it: start it, follow it, leave it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints.provisioning._account_lock import account_locked
from plivo_endpoints.provisioning._attach import attach, check_keys
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._joint import JointOrder, JointRun
from plivo_endpoints.provisioning._phase_tracker import PhaseTracker
from plivo_endpoints.provisioning._phases import Phases
from plivo_endpoints.provisioning._reach import account_of, observer_of
from plivo_endpoints.provisioning._report import Channel, Report
from plivo_endpoints.provisioning._sending import Job
from plivo_endpoints.provisioning._sharing import own_account
from plivo_endpoints.provisioning._state._counting import CountingState
from plivo_endpoints.provisioning._state._protocol import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._phase_tracker import Phase
    from plivo_endpoints.provisioning._report import Outcome, Status
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._protocol import FleetState, JointState

_GRACE: Final = 5.0  # seconds that requests in flight get when the caller leaves a run


@frozen(kw_only=True)
class Progress:
    """A snapshot of a run.

    Attributes:
        phase: The current phase.
        counts: Number of rows by status.
        waiting: How many of the unprocessed rows have a create whose response was lost.
        settles_in: Seconds until the outcome of those creates can be determined, while the run waits for it;
            otherwise `None`.
    """

    phase: Phase
    counts: Mapping[Status, int]
    waiting: int
    settles_in: float | None = None


class Run:
    """A run in progress: iterate over it to receive the outcome of each row as it finishes.

    Rows that an interrupted run had finished are in the report, but are not repeated. If you leave the block
    without iterating, the run continues to its end. If you leave it in the middle, the run starts no further
    row, waits up to 5 s for requests in flight, and leaves the state consistent. The iteration raises an
    error that stops the run, after the outcomes that came before it.
    """

    def __init__(
        self,
        part: Phases | JointRun,
        state: CountingState,
        outcomes: Channel,
        stopping: asyncio.Event,
        tracker: PhaseTracker,
    ) -> None:
        self._part = part
        self._state = state
        self._outcomes = outcomes
        self._stopping = stopping
        self._tracker = tracker
        self._work = asyncio.create_task(self._run())
        self._is_raised = False
        self._is_followed = False

    async def _run(self) -> None:
        try:
            self._tracker.start()
            await self._part.work()
        except BaseException as error:
            self._finish(error)
            raise
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self._outcomes.close()
        self._tracker.finish(self._state.counts, error)

    async def __aiter__(self) -> AsyncGenerator[Outcome]:
        self._is_followed = True
        while (outcome := await self._outcomes.get()) is not None:
            yield outcome
        self._is_raised = True
        await self._work

    @property
    def progress(self) -> Progress:
        """A snapshot of the run."""
        return Progress(
            phase=self._tracker.phase,
            counts=self._state.counts,
            waiting=self._state.number_of(RowState.PARKED),
            settles_in=self._part.settles_in,
        )

    @property
    def report(self) -> Report:
        """The results for all rows, including those from earlier processes."""
        audit = self._part.audit
        return Report(
            counts=self._state.counts,
            duplicates=audit.duplicates if audit else (),
            audited=audit is not None,
            gone=self._state.gone,
            appeared=audit.appeared if audit else 0,
        )

    def stop(self) -> None:
        """Start no further row; the iteration ends once the rows in progress are finished."""
        self._is_followed = True
        self._stopping.set()

    async def complete(self) -> None:
        """Run to the end, unless the caller has iterated over the outcomes."""
        if not self._is_followed:
            async for _ in self:
                pass

    async def end(self) -> None:
        """Let requests in flight finish, start no others, and raise an error that was not raised yet."""
        self._stopping.set()
        grace = _GRACE if self._tracker.phase in {"canary", "creating", "updating", "deleting"} else 0.0
        try:
            self._outcomes.close()
            await asyncio.wait({self._work}, timeout=grace)
        finally:  # also if the wait is cancelled: the work needs the state, which is closed next
            self._work.cancel()
            (ended,) = await asyncio.gather(self._work, return_exceptions=True)
        if isinstance(ended, Exception) and not self._is_raised:
            raise ended


@asynccontextmanager
async def follow(
    client: AsyncClient, source: RowSource, state: FleetState, master_key: str | None, options: Options
) -> AsyncGenerator[Run]:
    """Start a run for the block; see `AsyncFleet.apply`."""
    with account_locked(account_of(client)):
        async with opened(state):
            await own_account(state, client)
            await check_keys(options.only, source, state)
            contents, deriver = await attach(client, source, state, master_key, plan=options.plan)
            outcomes, stopping = Channel(), asyncio.Event()
            tracker = PhaseTracker(observer_of(client), "provisioning.apply", "planning")
            job = Job(
                client=client,
                source=source,
                contents=contents,
                state=CountingState(state, outcomes, options.only),
                outcomes=outcomes,
                deriver=deriver,
                options=options,
                tracker=tracker,
            )
            run = Run(Phases(job, stopping), job.state, outcomes, stopping, tracker)
            async with _followed(run):
                yield run


@asynccontextmanager
async def join(
    client: AsyncClient,
    source: RowSource,
    joint: JointState,
    master_key: str | None,
    options: Options,
    *,
    keeps_permissions: bool = False,
) -> AsyncGenerator[Run]:
    """Start a run that other processes share, or join one, for the block.

    With `keeps_permissions`, this process leads with the permissions of the run that it finds.
    """
    with account_locked(account_of(client), shared=True):
        await joint.join(create=not keeps_permissions)
        try:
            outcomes, stopping = Channel(), asyncio.Event()
            operation = "provisioning.work" if keeps_permissions else "provisioning.apply"
            tracker = PhaseTracker(observer_of(client), operation, "waiting")
            order = JointOrder(
                client=client,
                source=source,
                joint=joint,
                state=CountingState(joint, outcomes),
                outcomes=outcomes,
                master_key=master_key,
                options=options,
                tracker=tracker,
                keeps_permissions=keeps_permissions,
            )
            run = Run(JointRun(order, stopping), order.state, outcomes, stopping, tracker)
            async with _followed(run):
                yield run
        finally:
            await joint.close()


@asynccontextmanager
async def _followed(run: Run) -> AsyncGenerator[None]:
    try:
        yield
        await run.complete()
    except BaseException:
        with suppress(Exception):  # raise the caller's own error
            await run.end()
        raise
    await run.end()

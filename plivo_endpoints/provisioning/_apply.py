"""`apply`: opening a run, following it, leaving it."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints._validation import check_count, check_seconds
from plivo_endpoints.provisioning._binding import bind
from plivo_endpoints.provisioning._ledger import Channel, Ledger
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._reach import account_of, check_client
from plivo_endpoints.provisioning._report import Report
from plivo_endpoints.provisioning._run import Job, Phases
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._sqlite import SqliteJournal
from plivo_endpoints.provisioning._states import State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from os import PathLike

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Journal
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._report import Outcome, Status
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._run import Phase

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

    Rows that an earlier process finished are in the report, but do not come again. An error that stops the
    run is raised by the iteration, after the outcomes that came before it.
    """

    def __init__(self, job: Job, *, gone: int) -> None:
        self._job = job
        self._gone = gone
        self._phases = Phases(job)
        self._work = asyncio.create_task(self._phases.work())
        self._is_told = False

    async def __aiter__(self) -> AsyncGenerator[Outcome]:
        while (outcome := await self._job.outcomes.get()) is not None:
            yield outcome
        self._is_told = True
        await self._work

    @property
    def progress(self) -> Progress:
        """Where it is now."""
        ledger = self._job.ledger
        return Progress(
            phase=self._phases.phase,
            counts=ledger.counts,
            waiting=ledger.number_of(State.PARKED),
            settles_in=self._phases.settles_in,
        )

    @property
    def report(self) -> Report:
        """Where all rows stand, those of earlier processes included."""
        doubles = self._phases.doubles
        return Report(
            counts=self._job.ledger.counts,
            doubles=doubles or (),
            audited=doubles is not None,
            gone=self._gone,
        )

    async def end(self) -> None:
        """Let creates under way finish, begin no others, and raise an error that nobody was told."""
        self._phases.stop()
        grace = _GRACE if self._phases.phase in {"canary", "creating", "updating"} else 0.0
        try:
            self._job.outcomes.close()
            await asyncio.wait({self._work}, timeout=grace)
        finally:  # also if the grace is cut short: the work needs the journal, which is closed next
            self._work.cancel()
            (ended,) = await asyncio.gather(self._work, return_exceptions=True)
        if isinstance(ended, Exception) and not self._is_told:
            raise ended


@asynccontextmanager
async def apply(
    client: AsyncClient,
    source: Source,
    *,
    journal: str | PathLike[str] | Journal,
    concurrency: int = 32,
    settle: float = 120.0,
    master_key: str | None = None,
    plan: Plan | None = None,
) -> AsyncGenerator[Run]:
    """Make an endpoint of each row that has none yet, and put right those whose row was edited.

    With the journal of an earlier call it goes on where that stopped. The source may have been edited since:
    rows are known again by their keys, and what the source has no more is left alone.

    ```python
    async with apply(client, CsvSource("users.csv"), journal="run.db") as run:
        async for outcome in run:
            print(outcome.key, outcome.status)
    print(run.report.counts)
    ```

    Leaving the block early begins no further row, gives those under way 5 s, and leaves the journal right.

    Args:
        client: Whose account. Its rate limit is the run's.
        source: The rows: a path, `*.csv` or `*.jsonl`, each also with `.gz`; a source object such as
            `CsvSource`; or a collection of `Row`s or of mappings with the same fields, a list say. It is read
            once to check all rows before anything is sent, and again for each pass.
            It may be another edition of the one that the journal knows.
        journal: The journal's file, made if there is none, or another `Journal`.
        concurrency: Creates under way at the same time.
        settle: Seconds after which a create with a lost answer counts as never carried out: more than Plivo
            may take to carry out what it received, and its list to show it.
        master_key: To derive the passwords that rows come without; `PLIVO_PROVISION_KEY` without it.
        plan: Refuse to begin unless the account still is as this plan found it.

    Raises:
        InvalidArgumentError: The source is none, or can be read only once.
        SourceError: Rows break rules; nothing was sent.
        StaleError: Account, master key or plan is another than the journal's, or the source was edited where
            it must not be.
        CanaryError: An endpoint, mostly the first, did not come out as asked for.
        JournalError: The journal cannot be used.
        ProvisioningError: What the account has cannot be told; the message says why.
        OutageError: Plivo cannot be reached, or answers nothing that can be read.
    """
    check_client(client)
    rows = source_of(source)
    check_count("concurrency", concurrency, 1)
    check_seconds("settle", settle, zero=True)
    opened = SqliteJournal(journal) if isinstance(journal, (str, os.PathLike)) else journal
    await opened.open()
    try:
        contents, deriver = await bind(client, rows, opened, master_key_of(master_key), plan)
        outcomes = Channel()
        job = Job(
            client=client,
            account=account_of(client),
            source=rows,
            contents=contents,
            ledger=Ledger(opened, outcomes),
            outcomes=outcomes,
            concurrency=concurrency,
            settle=settle,
            deriver=deriver,
            plan=plan,
        )
        async with _followed(Run(job, gone=await opened.count_gone())) as run:
            yield run
    finally:
        await opened.close()


@asynccontextmanager
async def _followed(run: Run) -> AsyncGenerator[Run]:
    try:
        yield run
    except BaseException:
        with suppress(Exception):  # the caller's own error is the one to raise
            await run.end()
        raise
    await run.end()

"""A run: the phases from a loaded state to the audit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from attrs import frozen

from plivo_endpoints._request_models import NewEndpoint
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._audit import NOT_AUDITED, audit_account
from plivo_endpoints.provisioning._canary import Canary
from plivo_endpoints.provisioning._change import ChangeSender, check_deletions
from plivo_endpoints.provisioning._create import CreateSender
from plivo_endpoints.provisioning._entries import HELD, NEEDS_PERSON, OPEN, RowState
from plivo_endpoints.provisioning._errors import CanaryError, StaleError
from plivo_endpoints.provisioning._load import chunks
from plivo_endpoints.provisioning._matching import known_suffixes
from plivo_endpoints.provisioning._outage import Outage
from plivo_endpoints.provisioning._passwords import password_of
from plivo_endpoints.provisioning._plan import check_steps, read_plan
from plivo_endpoints.provisioning._rate import CreateRateLimiter
from plivo_endpoints.provisioning._reach import account_of, another_window
from plivo_endpoints.provisioning._reconcile import reconcile
from plivo_endpoints.provisioning._report import outcome_of
from plivo_endpoints.provisioning._state._protocol import batches, batches_of_gone
from plivo_endpoints.provisioning._strangers import Present
from plivo_endpoints.provisioning._survey import compare
from plivo_endpoints.provisioning._workers import run_workers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._audit import Audit
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._passwords import Deriver
    from plivo_endpoints.provisioning._report import Channel
    from plivo_endpoints.provisioning._rows import Row, RowSource
    from plivo_endpoints.provisioning._state._counting import CountingState

Phase = Literal[
    "planning",
    "canary",
    "creating",
    "updating",
    "settling",
    "reconciling",
    "deleting",
    "auditing",
    "done",
]

T = TypeVar("T")

_LOOK_AHEAD: Final = 500  # entries
_MOST_LOST_CANARIES: Final = 3
_MOST_LOST: Final = 100


@frozen(kw_only=True)
class Job:
    """The inputs of a run."""

    client: AsyncClient
    source: RowSource
    contents: Contents
    state: CountingState
    outcomes: Channel
    deriver: Deriver | None
    options: Options


class Phases:
    """Works through a job; `phase` is the current phase.

    The process may end after any step: the next run can continue from the state alone.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._state = job.state
        self._outage = Outage(most_lost=_MOST_LOST_CANARIES, most_refused=job.options.max_failures)
        self._change_sender = ChangeSender(job.client, job.state, self._outage)
        self._suffixes: Collection[int] = ()  # how many digits Plivo appends, as the plan assumed
        self._pace = CreateRateLimiter(another_window(job.client))
        self._stopping = asyncio.Event()
        # The settling time of rows parked by an earlier process starts now: only our own clock is trusted.
        self._parked_at = time.monotonic()
        self._canary = Canary(job.client, job.state, settle=job.options.settle)
        self._mismatch: CanaryError | None = None
        self.phase: Phase = "planning"
        self._present = Present()
        self.audit: Audit | None = None

    @property
    def settles_in(self) -> float | None:
        """Seconds until no lost create can take effect any more, while the run waits for that."""
        return self._until_settled() if self.phase == "settling" else None

    def stop(self) -> None:
        """Start no further row."""
        self._stopping.set()

    async def work(self) -> None:
        """Do all that is left to do."""
        try:
            await self._plan()
            await self._recover()
            if self._state.has(*OPEN):  # an earlier audit does not cover what becomes of them
                await self._state.note(NOT_AUDITED)
            while self._state.has(*OPEN) and not self._stopping.is_set():
                await self._pass()
            await self._delete()
            if not self._stopping.is_set():
                await self._report_outcomes(*NEEDS_PERSON)
                await self._check_canary()
                self.phase = "auditing"
                # The audit covers all rows, even if the run is for some of them only.
                self.audit = await audit_account(self._job.client, self._state.state, self._present)
                await self._state.count()
                await self._state.note({"done": "yes"})
                self.phase = "done"
        finally:
            self._job.outcomes.close()

    async def _plan(self) -> None:
        facts = await self._state.facts()
        is_fresh = facts.get("planned") != "yes"
        if not is_fresh:
            await self._state.count()  # a resumed run reports the rows that this comparison finishes
        # A fresh plan is counted when it is complete: until then it starts over. A resumed run compares too:
        # endpoints added to the account since must not be mistaken for the result of a lost create later.
        state = self._state.state if is_fresh else self._state
        await compare(self._job.client, state, self._present)
        if is_fresh and self._job.options.plan is not None:
            now = await read_plan(self._state.state, account_of(self._job.client), self._job.contents)
            check_steps(self._job.options.plan, now)
        # Also in a resumed run: the one before may have had no permission to delete.
        await check_deletions(self._state, self._job.options)
        if is_fresh:
            await self._state.note({"planned": "yes"})
            await self._state.count()
        self._suffixes = await known_suffixes(self._state)
        self._canary.restore(facts)
        if self._canary.is_there:
            self._accept_canary()
        await self._finish_deletions()
        await self._permit(compared={RowState.RENAMED})
        if is_fresh:
            await self._report_outcomes(RowState.UNCHANGED)

    async def _permit(self, *, compared: Collection[RowState] = ()) -> None:
        """Let rows continue that wait for a permission which this run has.

        Args:
            compared: States whose rows were already compared with the account in the form they will take.
        """
        options = self._job.options
        if options.replace and self._state.has(RowState.RENAMED):
            # Left by an earlier run: a row replaces one endpoint at a time.
            await self._finish_replacements(*HELD, RowState.OUTDATED, RowState.RENAMED)
        permitted = (
            (options.import_existing, RowState.FOUND, states.imported),
            (options.replace, RowState.RENAMED, states.replacing),
            (options.recreate, RowState.VANISHED, states.recreating),
        )
        new = 0
        for is_allowed, row_state, go_on in permitted:
            if is_allowed and self._state.has(row_state):
                async with aclosing(batches(self._state, row_state)) as waiting:
                    async for batch in waiting:
                        await self._state.save([(entry, go_on(entry)) for entry in batch])
                        new += len(batch) if row_state not in {RowState.FOUND, *compared} else 0
        if new:
            await compare(self._job.client, self._state)
            await self._permit(compared=NEEDS_PERSON)

    async def _finish_deletions(self) -> None:
        """Finish deletions that an earlier run started, for rows that are back in the source as new ones."""
        if self._state.has(RowState.DELETING):
            self.phase = "deleting"
            begun = batches(self._state, RowState.DELETING)
            await run_workers(begun, self._finish_deletion, self._job.options.concurrency)
            self.phase = "planning"
            await compare(self._job.client, self._state, self._present)

    async def _report_outcomes(self, *row_states: RowState) -> None:
        """Report rows for which there is nothing to do, or nothing that is allowed."""
        async with aclosing(batches(self._state, *row_states)) as finished:
            async for batch in finished:
                for entry in batch:
                    await self._job.outcomes.put(outcome_of(entry))

    async def _recover(self) -> None:
        async with aclosing(batches(self._state, RowState.INTENT)) as intents:
            async for batch in intents:
                await self._state.save([(entry, states.recovered(entry)) for entry in batch])

    async def _pass(self) -> None:
        """Send every new row once, then decide on those whose response was lost."""
        await self._check_canary()
        self.phase = "creating" if self._canary.is_there else "canary"
        await self._send()
        if self._canary.is_there and self._state.has(RowState.OUTDATED):
            self.phase = "updating"
            await run_workers(self._rows(RowState.OUTDATED), self._update, self._job.options.concurrency)
        if self._state.has(RowState.PARKED) and await self._settle():
            self.phase = "reconciling"
            await reconcile(self._job.client, self._state)
            await self._permit()  # a row that was edited in the meantime may need it only now

    async def _check_canary(self) -> None:
        if self._canary.is_there:
            return
        self.phase = "canary"
        if not await self._canary.verify():
            return
        self._accept_canary()
        suffixes = await known_suffixes(self._state)
        is_as_planned = self._canary.was_listed_at_once and set(suffixes) <= set(self._suffixes)
        if self._state.has(RowState.NEW) and not is_as_planned:
            # The plan may have missed endpoints: the list lags, or Plivo appends another number of digits.
            self.phase = "planning"
            await compare(self._job.client, self._state, self._present)
            await self._permit(compared={RowState.RENAMED})
        self._suffixes = suffixes

    def _accept_canary(self) -> None:
        self._outage.most_lost = _MOST_LOST

    async def _send(self) -> None:
        await run_workers(
            self._rows(RowState.NEW),
            self._create,
            self._job.options.concurrency if self._canary.is_there else 1,
        )
        if self._mismatch is not None:
            raise self._mismatch

    async def _rows(self, state: RowState) -> AsyncGenerator[list[tuple[Row, Entry]]]:
        """Read the source again and yield batches of the rows that are in a state."""
        ahead: deque[Entry] = deque()
        last = 0
        async with aclosing(chunks(self._job.source)) as reading:
            async for first, chunk in reading:
                new: list[tuple[Row, Entry]] = []
                while True:
                    if not ahead:
                        ahead.extend(await self._state.read(after=last, limit=_LOOK_AHEAD, states={state}))
                    if not ahead or ahead[0].number >= first + len(chunk):
                        break
                    entry = ahead.popleft()
                    last = entry.number
                    row = chunk[last - first]
                    if not self._job.contents.has(row, last):
                        raise StaleError(f"row {last} of the source changed during the run")
                    new.append((row, entry))
                yield new
                if not ahead:
                    return
        raise StaleError("the source became shorter during the run")

    async def _create(self, item: tuple[Row, Entry]) -> bool:
        row, entry = item
        while entry.state is RowState.NEW and not self._stopping.is_set():
            entry = await self._send_once(row, entry)
        if entry.state is RowState.PARKED:
            self._parked_at = time.monotonic()
        if not self._canary.is_there and entry.state is RowState.CREATED:
            self._canary.made_alone = entry
        # The canary is sent alone; one that was refused made nothing, so the next row may be the canary.
        return not self._stopping.is_set() and (self._canary.is_there or entry.state is RowState.FAILED)

    async def _send_once(self, row: Row, entry: Entry) -> Entry:
        await self._pace.begin()
        try:
            if self._stopping.is_set():  # set while this row waited for its turn
                return entry
            create = CreateSender(self._state, entry, on_mismatch=self._stop_at_mismatch)
            return await create.send(self._job.client, self._new(row), self._outage)
        except CanaryError as mismatch:
            # Raised after the creates in flight finish: with lost responses they could not be found again.
            self._mismatch = self._mismatch or mismatch
            return entry
        finally:
            self._pace.end()

    async def _stop_at_mismatch(self, entry: Entry) -> None:
        self.stop()
        await self._canary.mark_failed(entry)

    def _new(self, row: Row) -> NewEndpoint:
        password = password_of(row, self._job.deriver)
        return NewEndpoint(username=row.username, password=password, alias=row.alias, app_id=row.app_id)

    async def _update(self, item: tuple[Row, Entry]) -> bool:
        row, entry = item
        await self._change_sender.update(entry, password_of(row, self._job.deriver))
        return not self._stopping.is_set()

    async def _delete(self) -> None:
        """Delete replaced endpoints and, if allowed, those of rows no longer in the source."""
        await self._finish_replacements(*HELD)  # not RENAMED: a row renamed again may want the old one back
        if self._job.options.delete and not self._stopping.is_set():
            self.phase = "deleting"
            await check_deletions(self._state, self._job.options)  # some rows were undecided until now
            await run_workers(
                batches_of_gone(self._state, *HELD, RowState.DELETING),
                self._delete_gone,
                self._job.options.concurrency,
            )

    async def _finish_replacements(self, *row_states: RowState) -> None:
        while not self._stopping.is_set():
            if not (batch := await self._state.read_replaced(_LOOK_AHEAD, row_states)):
                return
            self.phase = "deleting"
            await run_workers(_once(batch), self._delete_replaced, self._job.options.concurrency)

    async def _delete_replaced(self, entry: Entry) -> bool:
        await self._change_sender.delete_replaced(entry)
        return not self._stopping.is_set()

    async def _finish_deletion(self, entry: Entry) -> bool:
        await self._change_sender.finish_deletion(entry)
        return not self._stopping.is_set()

    async def _delete_gone(self, entry: Entry) -> bool:
        await self._change_sender.delete_gone(entry, even_registered=self._job.options.even_registered)
        return not self._stopping.is_set()

    async def _settle(self) -> bool:
        """Wait until no lost create can take effect any more; return whether to continue."""
        self.phase = "settling"
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._until_settled())
        return not self._stopping.is_set()

    def _until_settled(self) -> float:
        return max(0.0, self._parked_at + self._job.options.settle - time.monotonic())


async def _once(batch: Sequence[T]) -> AsyncGenerator[Sequence[T]]:
    yield batch

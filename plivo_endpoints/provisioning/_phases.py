"""A run: the phases from a loaded state to the audit."""

from __future__ import annotations

import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._audit import NOT_AUDITED, audit_account
from plivo_endpoints.provisioning._canary import Canary, check_mismatches, stop_all
from plivo_endpoints.provisioning._change import ChangeSender, check_deletions
from plivo_endpoints.provisioning._entries import HELD, NEEDS_PERSON, OPEN, RowState
from plivo_endpoints.provisioning._matching import known_suffixes
from plivo_endpoints.provisioning._outage import Outage
from plivo_endpoints.provisioning._plan import check_steps, read_plan
from plivo_endpoints.provisioning._reach import account_of
from plivo_endpoints.provisioning._reconcile import reconcile
from plivo_endpoints.provisioning._report import outcome_of
from plivo_endpoints.provisioning._sending import Sender
from plivo_endpoints.provisioning._sharing import POLL, pause, revoke_claims
from plivo_endpoints.provisioning._state._protocol import batches, batches_of_gone
from plivo_endpoints.provisioning._strangers import Present
from plivo_endpoints.provisioning._survey import compare
from plivo_endpoints.provisioning._workers import run_workers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Collection, Sequence

    from plivo_endpoints.provisioning._audit import Audit
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._phase_tracker import Phase
    from plivo_endpoints.provisioning._sending import Job

T = TypeVar("T")

_LOOK_AHEAD: Final = 500  # entries
_MOST_LOST_CANARIES: Final = 3
MOST_LOST: Final = 100


class Phases:
    """Works through a job, phase by phase.

    The process may end after any step: the next run can continue from the state alone.
    """

    def __init__(self, job: Job, stopping: asyncio.Event) -> None:
        self._job = job
        self._state = job.state
        self._stopping = stopping
        self._outage = Outage(most_lost=_MOST_LOST_CANARIES, most_refused=job.options.max_failures)
        self._change_sender = ChangeSender(job.client, job.state, self._outage)
        self._suffixes: Collection[int] = ()  # how many digits Plivo appends, as the plan assumed
        self._canary = Canary(job.client, job.state, settle=job.options.settle)
        on_mismatch = self._canary.mark_failed if job.joint is None else partial(stop_all, job.joint)
        self._sender = Sender(job, self._outage, stopping, on_mismatch=on_mismatch)
        self._present = Present()
        self.audit: Audit | None = None

    @property
    def settles_in(self) -> float | None:
        """Seconds until no lost create can take effect any more, while the run waits for that."""
        return self._until_settled() if self._job.tracker.phase == "settling" else None

    async def work(self) -> None:
        """Do all that is left to do."""
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
            self._enter("auditing")
            # The audit covers all rows, even if the run is for some of them only.
            self.audit = await audit_account(self._job.client, self._state.state, self._present)
            await self._state.count()
            await self._state.note({"done": "yes"})
            self._enter("done")

    def _enter(self, phase: Phase) -> None:
        self._job.tracker.enter(phase)

    async def _plan(self) -> None:
        self._enter("planning")
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
            self._enter("deleting")
            begun = batches(self._state, RowState.DELETING)
            await run_workers(begun, self._finish_deletion, self._job.options.concurrency)
            self._enter("planning")
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
                # A process whose lease has ended may live, and still send them.
                self._sender.note_parked(0.0 if self._job.joint is None else states.SEND_GUARD)

    async def _pass(self) -> None:
        """Send every new row once, then decide on those whose response was lost."""
        await self._check_canary()
        if self._canary.is_there:
            await self._send()
        else:
            self._enter("canary")
            await self._sender.create_one()
            self._canary.made_alone = self._sender.made_alone
        if self._state.has(RowState.PARKED) and await self._settle():
            self._enter("reconciling")
            await reconcile(self._job.client, self._state)
            await self._permit()  # a row that was edited in the meantime may need it only now

    async def _send(self) -> None:
        if self._job.joint is None:
            await self._send_own()
            return
        await self._job.joint.allow_claims()
        await self._send_own()
        while not self._stopping.is_set() and await self._is_left_to_others():
            await pause(self._stopping, POLL)  # they may finish their rows, or leave them
            await self._send_own()
        await revoke_claims(self._job.joint, self._stopping)
        if not self._stopping.is_set():  # a process that has stopped decides nothing
            check_mismatches(await self._state.facts())
            self._sender.note_parked()  # others may have parked some just now
            await self._recover()
            await self._state.count()

    async def _send_own(self) -> None:
        self._enter("creating")
        await self._sender.create_all()
        if self._state.has(RowState.OUTDATED):
            self._enter("updating")
            await self._sender.update_all()

    async def _is_left_to_others(self) -> bool:
        """Whether there are rows that other processes have claimed.

        Raises:
            CanaryError: One of them has met an endpoint that does not match its row.
        """
        await self._state.count()
        check_mismatches(await self._state.facts())
        return self._state.has(RowState.NEW, RowState.OUTDATED)

    async def _check_canary(self) -> None:
        if self._canary.is_there:
            return
        self._enter("canary")
        if not await self._canary.verify():
            return
        self._accept_canary()
        suffixes = await known_suffixes(self._state)
        is_as_planned = self._canary.was_listed_at_once and set(suffixes) <= set(self._suffixes)
        if self._state.has(RowState.NEW) and not is_as_planned:
            # The plan may have missed endpoints: the list lags, or Plivo appends another number of digits.
            self._enter("planning")
            await compare(self._job.client, self._state, self._present)
            await self._permit(compared={RowState.RENAMED})
        self._suffixes = suffixes

    def _accept_canary(self) -> None:
        self._outage.most_lost = MOST_LOST

    async def _delete(self) -> None:
        """Delete replaced endpoints and, if allowed, those of rows no longer in the source."""
        await self._finish_replacements(*HELD)  # not RENAMED: a row renamed again may want the old one back
        if self._job.options.delete and not self._stopping.is_set():
            self._enter("deleting")
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
            self._enter("deleting")
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
        self._enter("settling")
        await pause(self._stopping, self._until_settled())
        return not self._stopping.is_set()

    def _until_settled(self) -> float:
        return max(0.0, self._sender.parked_at + self._job.options.settle - time.monotonic())


async def _once(batch: Sequence[T]) -> AsyncGenerator[Sequence[T]]:
    yield batch

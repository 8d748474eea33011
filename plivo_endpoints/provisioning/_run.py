"""A run: the phases from a loaded journal to the audit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints._requests import NewEndpoint
from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._audit import NOT_AUDITED, examine_account
from plivo_endpoints.provisioning._canary import Proof
from plivo_endpoints.provisioning._errors import CanaryError, StaleError
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._load import chunks
from plivo_endpoints.provisioning._pace import Pace
from plivo_endpoints.provisioning._passwords import password_of
from plivo_endpoints.provisioning._patience import patiently
from plivo_endpoints.provisioning._plan import check_steps, compare, read_plan
from plivo_endpoints.provisioning._reach import another_window
from plivo_endpoints.provisioning._reconcile import reconcile
from plivo_endpoints.provisioning._report import outcome_of
from plivo_endpoints.provisioning._sending import ABOUT_THE_ROW, UNSENT, Create, Outage
from plivo_endpoints.provisioning._share import share
from plivo_endpoints.provisioning._states import OPEN, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._ledger import Channel, Ledger
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._passwords import Deriver
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._report import Double
    from plivo_endpoints.provisioning._rows import Row, RowSource
    from plivo_endpoints.provisioning._states import Entry

Phase = Literal["planning", "canary", "creating", "updating", "settling", "reconciling", "auditing", "done"]

_LOOK_AHEAD: Final = 500  # entries
_MOST_LOST_CANARIES: Final = 3
_MOST_LOST: Final = 100


@frozen(kw_only=True)
class Job:
    """What a run works with."""

    client: AsyncClient
    account: str
    source: RowSource
    contents: Contents
    ledger: Ledger
    outcomes: Channel
    concurrency: int
    settle: float
    deriver: Deriver | None
    plan: Plan | None


class Phases:
    """Works through a job; `phase` says what it is at.

    Every step may be the last: what the journal holds is enough to go on from.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ledger = job.ledger
        self._outage = Outage(most_lost=_MOST_LOST_CANARIES)
        self._pace = Pace(another_window(job.client))
        self._stopping = asyncio.Event()
        # Rows parked by an earlier process settle from now on: no clock but our own is to be trusted.
        self._parked_at = time.monotonic()
        self._proof = Proof(job.client, job.ledger, settle=job.settle)
        self._surprise: CanaryError | None = None
        self.phase: Phase = "planning"
        self.doubles: tuple[Double, ...] | None = None

    @property
    def settles_in(self) -> float | None:
        """Seconds until no create in doubt can land any more, while that is waited for."""
        return self._until_settled() if self.phase == "settling" else None

    def stop(self) -> None:
        """Begin no further row."""
        self._stopping.set()

    async def work(self) -> None:
        """Do all that is left to do."""
        try:
            await self._plan()
            await self._recover()
            if self._ledger.has(*OPEN):  # an audit before knew nothing of what they become
                await self._ledger.note(NOT_AUDITED)
            while self._ledger.has(*OPEN) and not self._stopping.is_set():
                await self._pass()
            if not self._stopping.is_set():
                await self._prove()
                self.phase = "auditing"
                self.doubles = await examine_account(self._job.client, self._ledger)
                self.phase = "done"
        finally:
            self._job.outcomes.close()

    async def _plan(self) -> None:
        facts = await self._ledger.facts()
        planned = facts.get("planned") != "yes"
        if planned:
            # Counted and told only when it is complete: until then it starts anew.
            await compare(self._job.client, self._ledger.journal)
            if self._job.plan is not None:
                now = await read_plan(self._ledger.journal, self._job.account, self._job.contents)
                check_steps(self._job.plan, now)
            await self._ledger.note({"planned": "yes"})
        self._proof.recall(facts)
        if self._proof.is_there:
            self._outage = Outage(most_lost=_MOST_LOST)
        await self._ledger.count()
        if planned:
            await self._tell_planned(int(facts["edition"]))

    async def _tell_planned(self, edition: int) -> None:
        """Pass on the rows for which there is nothing to do."""
        async with aclosing(batches(self._ledger, State.UNCHANGED, State.CONFLICT)) as finished:
            async for batch in finished:
                for entry in batch:
                    if entry.edition == edition:
                        await self._job.outcomes.put(outcome_of(entry))

    async def _recover(self) -> None:
        async with aclosing(batches(self._ledger, State.INTENT)) as intents:
            async for batch in intents:
                await self._ledger.save([(entry, states.recovered(entry)) for entry in batch])

    async def _pass(self) -> None:
        """Send every new row once, then decide on those whose answer was lost."""
        await self._prove()
        self.phase = "creating" if self._proof.is_there else "canary"
        await self._send()
        if self._proof.is_there and self._ledger.has(State.OUTDATED):
            self.phase = "updating"
            await share(batches(self._ledger, State.OUTDATED), self._update, self._job.concurrency)
        if self._ledger.has(State.PARKED) and await self._settle():
            self.phase = "reconciling"
            await reconcile(self._job.client, self._ledger)

    async def _prove(self) -> None:
        if self._proof.is_there:
            return
        self.phase = "canary"
        if await self._proof.seek():
            self._outage = Outage(most_lost=_MOST_LOST)

    async def _send(self) -> None:
        await share(self._new_rows(), self._create, self._job.concurrency if self._proof.is_there else 1)
        if self._surprise is not None:
            raise self._surprise

    async def _new_rows(self) -> AsyncGenerator[list[tuple[Row, Entry]]]:
        """Read the source again and return the rows that are new, some at a time."""
        ahead: deque[Entry] = deque()
        last = 0
        async with aclosing(chunks(self._job.source)) as reading:
            async for first, chunk in reading:
                new: list[tuple[Row, Entry]] = []
                while True:
                    if not ahead:
                        ahead.extend(
                            await self._ledger.read(after=last, limit=_LOOK_AHEAD, states={State.NEW})
                        )
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
        while entry.state is State.NEW and not self._stopping.is_set():
            entry = await self._send_once(row, entry)
        if entry.state is State.PARKED:
            self._parked_at = time.monotonic()
        if not self._proof.is_there and entry.state is State.CREATED:
            self._proof.made_alone = entry
        # The canary goes alone; but one that is refused made nothing, so the next may try.
        return not self._stopping.is_set() and (self._proof.is_there or entry.state is State.FAILED)

    async def _send_once(self, row: Row, entry: Entry) -> Entry:
        await self._pace.begin()
        try:
            if self._stopping.is_set():  # told to while it waited for its turn
                return entry
            create = Create(self._ledger, entry, surprised=self._refute)
            return await create.send(self._job.client, self._new(row), self._outage)
        except CanaryError as surprise:
            # Raised when what is under way has been finished: in doubt, it could not be found again.
            self._surprise = self._surprise or surprise
            return entry
        finally:
            self._pace.end()

    async def _refute(self, entry: Entry) -> None:
        self.stop()
        await self._proof.refute(entry)

    def _new(self, row: Row) -> NewEndpoint:
        password = password_of(row, self._job.deriver)
        return NewEndpoint(username=row.username, password=password, alias=row.alias, app_id=row.app_id)

    async def _update(self, entry: Entry) -> bool:
        try:
            wanted = {"alias": entry.alias, "app_id": entry.app_id}
            update = partial(self._job.client.endpoints.update, entry.endpoint_id or "", **wanted)
            await patiently(update)  # it may be done twice
        except (NotFoundError, *ABOUT_THE_ROW) as error:
            reason = f"Plivo refused the update of endpoint {entry.endpoint_id}: {error.message or error}"
            await self._ledger.save([(entry, states.update_refused(entry, reason))])
            self._outage.answered()
        except UNSENT as error:
            await self._outage.unsent(error)
        else:
            await self._ledger.save([(entry, states.updated(entry))])
            self._outage.answered()
        return not self._stopping.is_set()

    async def _settle(self) -> bool:
        """Wait until no create that is in doubt can land any more; return whether to go on then."""
        self.phase = "settling"
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._until_settled())
        return not self._stopping.is_set()

    def _until_settled(self) -> float:
        return max(0.0, self._parked_at + self._job.settle - time.monotonic())

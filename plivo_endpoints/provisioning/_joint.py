"""A run that several processes share: this one helps, or leads if no other does."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from plivo_endpoints._events import logger
from plivo_endpoints.provisioning._attach import (
    attach,
    check_account,
    check_begun,
    check_source,
    deriver_of,
    verify_source,
)
from plivo_endpoints.provisioning._audit import Audit, read_duplicates
from plivo_endpoints.provisioning._canary import stop_all
from plivo_endpoints.provisioning._entries import OPEN
from plivo_endpoints.provisioning._errors import StaleError, StateError
from plivo_endpoints.provisioning._load import read_contents
from plivo_endpoints.provisioning._outage import Outage
from plivo_endpoints.provisioning._phases import MOST_LOST, Phases
from plivo_endpoints.provisioning._reach import account_of
from plivo_endpoints.provisioning._sending import Job, Sender
from plivo_endpoints.provisioning._sharing import POLL, pause, revoke_claims
from plivo_endpoints.provisioning._state._protocol import LeadershipLostError, opened
from plivo_endpoints.provisioning._stored_source import check_derived

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._passwords import Deriver
    from plivo_endpoints.provisioning._phase_tracker import PhaseTracker
    from plivo_endpoints.provisioning._report import Channel
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._counting import CountingState
    from plivo_endpoints.provisioning._state._protocol import JointState

_REJOIN_PATIENCE: Final = 600.0  # seconds
_RECOUNT: Final = 5.0  # seconds between two counts of what all processes have done
_PERMISSIONS: Final = (
    "import_existing",
    "replace",
    "recreate",
    "delete",
    "delete_limit",
    "even_registered",
)


@frozen(kw_only=True)
class JointOrder:
    """The arguments of a process's part; `keeps_permissions` means those in the state, if it leads."""

    client: AsyncClient
    source: RowSource
    joint: JointState
    state: CountingState
    outcomes: Channel
    master_key: str | None
    options: Options
    tracker: PhaseTracker
    keeps_permissions: bool


class JointRun:
    """This process's part of a run, from joining it to its end."""

    def __init__(self, order: JointOrder, stopping: asyncio.Event) -> None:
        self._order = order
        self._joint = order.joint
        self._stopping = stopping
        self._account = account_of(order.client)
        self._phases: Phases | None = None  # while this process leads
        self._sender: Sender | None = None  # for the edition of the source with `_digest`
        self._digest = ""
        self._seen: str | None = None  # the edition in the state when this process looked last
        self._has_waited = False  # for a process that works on another edition
        self._joined: str | None = None  # the edition of the run that this process has taken part in
        self.audit: Audit | None = None

    @property
    def settles_in(self) -> float | None:
        """See `Phases.settles_in`."""
        return None if self._phases is None else self._phases.settles_in

    async def work(self) -> None:
        """Help or lead until the run has ended."""
        try:
            await self._work()
        finally:
            with suppress(StateError):  # else others notice when the lease ends
                await self._joint.step_down()

    async def _work(self) -> None:
        async with self._counted():
            while not self._stopping.is_set() and self._order.tracker.phase != "done":
                try:
                    await self._go_on()
                except LeadershipLostError as error:
                    logger.warning("%s: continuing as a helper", error)
                    self._phases = None
                    self._order.tracker.enter("waiting")
                    await self._joint.close()
                    await self._join_again()

    async def _join_again(self) -> None:
        """Join the run again, also if the database is away for a while."""
        deadline = time.monotonic() + _REJOIN_PATIENCE
        while not self._stopping.is_set():
            try:
                await self._joint.join()
            except StateError:
                if time.monotonic() >= deadline:
                    raise
                await pause(self._stopping, POLL)
            else:
                return

    async def _go_on(self) -> None:
        if await self._joint.lead(self._account):
            await revoke_claims(self._joint, self._stopping)
            facts = await self._joint.facts()
            if self._order.keeps_permissions:
                check_begun(facts)
            await self._check_edition(facts)
            await self._check_waiting(facts)
            if await self._is_over(facts):
                await self._finish(facts)
            elif not self._stopping.is_set():
                await self._lead(facts)
        else:
            await self._help(await self._joint.facts())

    async def _lead(self, facts: Mapping[str, str]) -> None:
        order, options = self._order, self._order.options
        if self._joined is not None or order.keeps_permissions:
            options = evolve(options, plan=None, **json.loads(facts.get("permissions", "{}")))
        if order.keeps_permissions:  # the rows are already in the state
            check_account(facts, self._account)
            contents, deriver = await verify_source(self._joint, order.source, order.master_key)
        else:
            permissions = _permissions_of(options)
            contents, deriver = await attach(
                order.client,
                order.source,
                self._joint,
                order.master_key,
                plan=options.plan,
                permissions=permissions,
            )
            await self._joint.note(permissions)  # also if the edition was taken up before
        facts = await self._joint.facts()
        job = self._job(contents, deriver, facts["digest"], options)
        self._joined = facts["digest"]
        self._phases = Phases(job, self._stopping)
        await self._phases.work()
        self.audit = self._phases.audit

    async def _help(self, facts: Mapping[str, str]) -> None:
        """Work as a helper for one round, or wait a moment."""
        await self._check_edition(facts)
        if facts:
            check_account(facts, self._account)
        allows_claims = await self._joint.allows_claims()
        sender = await self._sender_for(facts)
        if sender is None:
            self._has_waited = "digest" in facts
            if allows_claims:
                raise StaleError(
                    "another run of this fleet is in progress, with another edition of the source"
                )
        elif await self._is_over(facts):
            await self._finish(facts)
            return
        elif not facts.get("done"):
            if self._joined is None:
                self._warn_of_permissions(facts)
            self._joined = facts["digest"]
            if allows_claims:
                self._order.tracker.enter("creating")
                await sender.create_all()
                self._order.tracker.enter("updating")
                await sender.update_all()
                await self._joint.release_claims()
            self._order.tracker.enter("waiting")
        await pause(self._stopping, POLL)

    async def _sender_for(self, facts: Mapping[str, str]) -> Sender | None:
        """Return what sends the rows of the edition in progress; `None` if that is not this process's."""
        digest, order = facts.get("digest", ""), self._order
        if digest != self._digest:
            self._sender, self._digest = None, digest
            contents = await read_contents(order.source)
            if contents.digest(facts["fleet_id"]) == digest:
                if order.options.plan is not None:
                    check_source(order.options.plan, self._account, contents)
                deriver = deriver_of(contents, facts, order.master_key)
                job = self._job(contents, deriver, digest, order.options)
                outage = Outage(most_lost=MOST_LOST, most_refused=order.options.max_failures)
                self._sender = Sender(job, outage, self._stopping, on_mismatch=partial(stop_all, self._joint))
        return self._sender

    def _job(self, contents: Contents, deriver: Deriver | None, edition: str, options: Options) -> Job:
        order = self._order
        return Job(
            client=order.client,
            source=order.source,
            contents=contents,
            state=order.state,
            joint=self._joint,
            edition=edition,
            outcomes=order.outcomes,
            deriver=deriver,
            options=options,
            tracker=order.tracker,
        )

    def _warn_of_permissions(self, facts: Mapping[str, str]) -> None:
        """Log that permissions of this process do not apply, as another one began the run."""
        theirs = json.loads(facts.get("permissions", "{}"))
        ours = {name for name in _PERMISSIONS if getattr(self._order.options, name)}
        if missing := sorted(name for name in ours if not theirs.get(name)):
            names = ", ".join(name.replace("_", "-") for name in missing)
            logger.warning("another process began this run, so these permissions do not apply: %s", names)

    async def _check_edition(self, facts: Mapping[str, str]) -> None:
        """Raise `StaleError` if another edition was taken up since this process began; it must stay."""
        digest = facts.get("digest", "")
        is_new = self._seen not in {None, digest} and not self._order.keeps_permissions
        if is_new and await self._sender_for(facts) is None:
            raise StaleError("another edition of the source was taken up since this process began")
        self._seen = digest

    async def _check_waiting(self, facts: Mapping[str, str]) -> None:
        """Raise `StaleError` if this process has waited for a run of another edition: one is wrong."""
        if self._has_waited and await self._sender_for(facts) is None:
            raise StaleError(
                "while this process waited, another one worked on this fleet with another edition of the "
                "source: check which is right, and apply that again"
            )

    async def _is_over(self, facts: Mapping[str, str]) -> bool:
        """Whether the run that this process has joined has ended; one for some rows only leaves others."""
        if not facts.get("done") or (self._joined is None and not self._order.keeps_permissions):
            return False
        return not any(row_state in OPEN for row_state in await self._joint.count())

    async def _finish(self, facts: Mapping[str, str]) -> None:
        """Take over the results of the process that led."""
        await self._order.state.count()
        if facts.get("audited"):
            self.audit = Audit(read_duplicates(facts), int(facts.get("appeared") or 0))
        self._order.tracker.enter("done")

    @asynccontextmanager
    async def _counted(self) -> AsyncGenerator[None]:
        """Count regularly what all processes have done, for the progress."""

        async def count() -> None:
            while True:
                await asyncio.sleep(_RECOUNT)
                with suppress(StateError):  # who needs the state to go on learns why it cannot be used
                    await self._order.state.count()

        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait({counting})


async def enqueue(
    client: AsyncClient, source: RowSource, joint: JointState, master_key: str | None, options: Options
) -> int:
    """Put a source into a state for others to work on; return its number of rows."""
    await check_derived(source)
    async with opened(joint):
        permissions = _permissions_of(options)
        contents, _ = await attach(client, source, joint, master_key, permissions=permissions)
        await joint.note(permissions)  # also if the edition was taken up before
    return len(contents.marks)


def _permissions_of(options: Options) -> dict[str, str]:
    return {"permissions": json.dumps({name: getattr(options, name) for name in _PERMISSIONS})}

"""The creates and updates of a run, or of one process's part of it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints._events import logger
from plivo_endpoints._request_models import NewEndpoint
from plivo_endpoints.provisioning._change import ChangeSender
from plivo_endpoints.provisioning._create import CreateSender
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import CanaryError, StaleError
from plivo_endpoints.provisioning._load import chunks
from plivo_endpoints.provisioning._passwords import password_of
from plivo_endpoints.provisioning._rate import CreateRateLimiter
from plivo_endpoints.provisioning._reach import another_window
from plivo_endpoints.provisioning._state._protocol import ClaimLostError
from plivo_endpoints.provisioning._workers import run_workers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._outage import Outage
    from plivo_endpoints.provisioning._passwords import Deriver
    from plivo_endpoints.provisioning._phase_tracker import PhaseTracker
    from plivo_endpoints.provisioning._report import Channel
    from plivo_endpoints.provisioning._rows import Row, RowSource
    from plivo_endpoints.provisioning._state._counting import CountingState
    from plivo_endpoints.provisioning._state._protocol import JointState

_LOOK_AHEAD: Final = 500  # entries
_CLAIMED: Final = 100  # entries at a time; as many wait until the lease ends if the process is killed


@frozen(kw_only=True)
class Job:
    """The inputs of a run.

    If several processes share it, `joint` is its state, and `edition` the digest of the source in there.
    """

    client: AsyncClient
    source: RowSource
    contents: Contents
    state: CountingState
    joint: JointState | None = None
    edition: str = ""
    outcomes: Channel
    deriver: Deriver | None
    options: Options
    tracker: PhaseTracker


class Sender:
    """Creates and updates the endpoints of rows, for as long as `stopping` is not set.

    Args:
        job: The run.
        outage: Counts failures of all requests.
        stopping: Whether to start no further row.
        on_mismatch: Awaited before an endpoint is saved that does not match its request.
    """

    def __init__(
        self,
        job: Job,
        outage: Outage,
        stopping: asyncio.Event,
        *,
        on_mismatch: Callable[[Entry], Awaitable[None]],
    ) -> None:
        self._job = job
        self._state = job.state
        self._outage = outage
        self._stopping = stopping
        self._on_mismatch = on_mismatch
        self._change_sender = ChangeSender(job.client, job.state, outage, is_shared=job.joint is not None)
        self._pace = CreateRateLimiter(another_window(job.client))
        self._mismatch: CanaryError | None = None
        # The settling time of rows parked by an earlier process starts now: only our own clock is trusted.
        self.parked_at: float = time.monotonic()
        self.made_alone: Entry | None = None  # the last one, in this process

    def note_parked(self, late: float = 0.0) -> None:
        """Let the settling time start now, or `late` seconds from now if creates may leave until then."""
        self.parked_at = max(self.parked_at, time.monotonic() + late)

    async def create_one(self) -> None:
        """Create one endpoint; rows that are refused make none, so it is the next that is not."""
        await run_workers(self._rows(RowState.NEW, self._read), self._create_alone, 1)
        self._raise_mismatch()

    async def create_all(self) -> None:
        """Create the endpoints of all new rows, or of those that this process can claim."""
        await run_workers(self._rows(RowState.NEW, self._find), self._create, self._job.options.concurrency)
        self._raise_mismatch()

    async def update_all(self) -> None:
        """Update the endpoints of all outdated rows, or of those that this process can claim."""
        outdated = self._rows(RowState.OUTDATED, self._find)
        await run_workers(outdated, self._update, self._job.options.concurrency)

    async def _read(self, after: int, state: RowState) -> Sequence[Entry]:
        return await self._state.read(after=after, limit=_LOOK_AHEAD, states={state})

    async def _find(self, after: int, state: RowState) -> Sequence[Entry]:
        if self._job.joint is None:
            return await self._read(after, state)
        return await self._job.joint.claim(
            edition=self._job.edition, after=after, limit=_CLAIMED, states={state}
        )

    async def _rows(
        self, state: RowState, find: Callable[[int, RowState], Awaitable[Sequence[Entry]]]
    ) -> AsyncGenerator[list[tuple[Row, Entry]]]:
        """Read the source again and yield batches of the rows that are in a state."""
        ahead: deque[Entry] = deque()
        last = 0
        async with aclosing(chunks(self._job.source)) as reading:
            async for first, chunk in reading:
                new: list[tuple[Row, Entry]] = []
                while True:
                    if not ahead:
                        if new:  # claim no more before these are begun
                            yield new
                            new = []
                        ahead.extend(await find(last, state))
                    if not ahead or ahead[0].number >= first + len(chunk):
                        break
                    entry = ahead.popleft()
                    last = entry.number
                    row = chunk[last - first]
                    if not self._job.contents.has(row, last) or row.key != entry.key:
                        raise StaleError(f"row {last} of the source changed during the run")
                    new.append((row, entry))
                yield new
                if not ahead:
                    return
        raise StaleError("the source became shorter during the run")

    async def _create_alone(self, item: tuple[Row, Entry]) -> bool:
        entry = await self._create_row(*item)
        if entry is not None and entry.state is RowState.CREATED:
            self.made_alone = entry
        is_refused = entry is not None and entry.state is RowState.FAILED
        return is_refused and not self._stopping.is_set()

    async def _create(self, item: tuple[Row, Entry]) -> bool:
        entry = await self._create_row(*item)
        if entry is not None and self._job.joint is not None:
            self._job.joint.count_done(entry.state is not RowState.NEW)
        return not self._stopping.is_set()

    async def _create_row(self, row: Row, entry: Entry) -> Entry | None:
        """Send a create until it is known what came of it; return the entry, or `None` if it was taken."""
        while entry.state is RowState.NEW and not self._stopping.is_set():
            try:
                entry = await self._send_once(row, entry)
            except ClaimLostError as taken:
                logger.warning("%s; the audit shows a duplicate, should there be one", taken)
                return None
        if entry.state is RowState.PARKED:
            self.note_parked()
        return entry

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
        self._stopping.set()
        await self._on_mismatch(entry)

    def _raise_mismatch(self) -> None:
        if self._mismatch is not None:
            raise self._mismatch

    def _new(self, row: Row) -> NewEndpoint:
        password = password_of(row, self._job.deriver)
        return NewEndpoint(username=row.username, password=password, alias=row.alias, app_id=row.app_id)

    async def _update(self, item: tuple[Row, Entry]) -> bool:
        row, entry = item
        try:
            await self._change_sender.update(entry, password_of(row, self._job.deriver))
        except ClaimLostError as taken:
            logger.info("%s", taken)
        else:
            if self._job.joint is not None:
                self._job.joint.count_done(1)
        return not self._stopping.is_set()

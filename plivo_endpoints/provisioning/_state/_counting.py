"""The state as a run uses it: it counts every change and reports every finished row."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._entries import NEEDS_PERSON, RowState
from plivo_endpoints.provisioning._report import by_status, outcome_of
from plivo_endpoints.provisioning._state._selection import Selection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._report import Outcome, Status
    from plivo_endpoints.provisioning._state._protocol import Change, Entries

_BATCH: Final = 500
_LOWEST: Final = -(2**62)
_MOST_UNREAD: Final = 1_000


class Channel:
    """Passes outcomes to the iterating caller; a slow reader slows the run down instead of using memory."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, outcome: Outcome) -> None:
        """Add an outcome when there is room; ignore it once the channel is closed."""
        while len(self._waiting) >= _MOST_UNREAD and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._waiting.append(outcome)
            self._news.set()

    async def get(self) -> Outcome | None:
        """Return the next outcome, or `None` after the last."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Accept no further outcomes."""
        self._closed = True
        self._news.set()
        self._room.set()


class CountingState(Selection):
    """A state that counts the rows that a run works on, in memory, and passes on their outcomes.

    It is used in place of the state itself, so that no change of an entry can go uncounted.
    """

    def __init__(self, state: Entries, outcomes: Channel, keys: Collection[str] | None = None) -> None:
        super().__init__(state, keys)
        self._outcomes = outcomes
        self._counts: Counter[RowState] = Counter()
        self.gone: int = 0  # rows that are no longer in the source but still have an endpoint

    @property
    def counts(self) -> Mapping[Status, int]:
        """Number of rows by status."""
        return by_status(self._counts)

    def has(self, *states: RowState) -> bool:
        """Whether a row is in one of these states."""
        return any(self._counts[state] for state in states)

    def number_of(self, state: RowState) -> int:
        """Return the number of rows in a state."""
        return self._counts[state]

    async def save(self, changes: Sequence[Change]) -> None:
        """See `FleetState`; passes on the outcome of a row that becomes finished."""
        # Counted first: the state completes the write even if this wait is cancelled.
        counted = [(before, after) for before, after in changes if self.has_row(after)]
        self._tally(counted)
        try:
            await super().save(changes)
        except Exception:
            self._tally([(after, before) for before, after in counted])
            raise
        for before, after in counted:
            if _is_news(before, after):
                await self._outcomes.put(outcome_of(after))

    def _tally(self, changes: Sequence[Change]) -> None:
        for before, after in changes:
            self._counts[before.state] -= before.is_counted
            self._counts[after.state] += after.is_counted
            if after.is_gone:
                self.gone += after.has_endpoint - before.has_endpoint

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`; also sets the counts kept here."""
        counts = await super().count()
        self._counts = Counter(counts)
        _, self.gone = await self.count_held()
        return counts


def _is_news(before: Entry, after: Entry) -> bool:
    """Whether a change finishes a row, whether it is in the source or gone from it."""
    if before.is_gone:
        return after.is_counted and after.state is not before.state and not after.is_open
    if after.is_open or after.state in NEEDS_PERSON:  # the latter are reported last
        return False
    return before.is_open or before.state in NEEDS_PERSON


async def batches(state: Entries, *states: RowState) -> AsyncGenerator[Sequence[Entry]]:
    """Yield all entries in these states, in order, in batches; they may be changed during the iteration.

    Rows that are no longer in the source are left out, except those with a create that may be in flight.
    """
    undecided = [state for state in states if state in {RowState.INTENT, RowState.PARKED}]
    for reading in (batches_of_gone(state, *undecided), _batches(state, 0, None, states)):
        async with aclosing(reading) as some:
            async for batch in some:
                yield batch


def batches_of_gone(state: Entries, *states: RowState) -> AsyncGenerator[Sequence[Entry]]:
    """Yield the entries in these states of rows that are no longer in the source."""
    return _batches(state, _LOWEST, -1, states)


async def _batches(
    state: Entries, after: int, up_to: int | None, states: Collection[RowState]
) -> AsyncGenerator[Sequence[Entry]]:
    while states and (batch := await state.read(after=after, limit=_BATCH, states=states, up_to=up_to)):
        yield batch
        after = batch[-1].number

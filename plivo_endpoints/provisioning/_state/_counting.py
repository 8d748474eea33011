"""The state as a run uses it: it counts every change and reports every finished row."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._entries import NEEDS_PERSON, RowState
from plivo_endpoints.provisioning._report import by_status, outcome_of
from plivo_endpoints.provisioning._state._selection import Selection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._report import Channel, Status
    from plivo_endpoints.provisioning._state._protocol import EntryStore, Transition


class CountingState(Selection):
    """A state that counts the rows that a run works on, in memory, and passes on their outcomes.

    It is used in place of the state itself, so that no change of an entry can go uncounted.
    """

    def __init__(self, state: EntryStore, outcomes: Channel, keys: Collection[str] | None = None) -> None:
        super().__init__(state, keys)
        self._outcomes = outcomes
        self._counts: Counter[RowState] = Counter()
        self._numbers = itertools.count(1)  # of saves and counts, in their order
        self._counting: dict[int, Counter[RowState]] = {}  # what was saved since each count in progress
        self._counted_at = 0  # the number of the last count
        self.gone: int = 0  # rows that are no longer in the source but still have an endpoint

    @property
    def counts(self) -> Mapping[Status, int]:
        """Number of rows by status."""
        return by_status(self._counts)

    def has(self, *states: RowState) -> bool:
        """Whether a row is in one of these states."""
        return any(self._counts[state] > 0 for state in states)

    def number_of(self, state: RowState) -> int:
        """Return the number of rows in a state."""
        return self._counts[state]

    async def save(self, changes: Sequence[Transition]) -> None:
        """See `FleetState`; passes on the outcome of a row that becomes finished."""
        # Counted first: the state completes the write even if this wait is cancelled.
        counted = [(before, after) for before, after in changes if self.has_row(after)]
        number = next(self._numbers)
        self._tally(counted, number)
        try:
            await super().save(changes)
        except Exception:
            if number > self._counted_at:  # else it is no longer in the counts
                self._tally([(after, before) for before, after in counted], number)
            raise
        for before, after in counted:
            if _is_news(before, after):
                await self._outcomes.put(outcome_of(after))

    def _tally(self, changes: Sequence[Transition], number: int) -> None:
        tallies = [self._counts, *(tally for begun, tally in self._counting.items() if begun < number)]
        for before, after in changes:
            for tally in tallies:
                tally[before.state] -= before.is_counted
                tally[after.state] += after.is_counted
            if after.is_gone:
                self.gone += after.has_endpoint - before.has_endpoint

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`; also sets the counts kept here.

        The state carries out calls in order, so the result has what was saved before, and what is saved from
        now on is added to it.
        """
        number = next(self._numbers)
        since = self._counting[number] = Counter()
        try:
            counts = await super().count()
        finally:
            del self._counting[number]
        if number > self._counted_at:
            self._counted_at = number
            since.update(counts)
            self._counts = since
        _, self.gone = await self.count_held()
        return counts


def _is_news(before: Entry, after: Entry) -> bool:
    """Whether a change finishes a row, whether it is in the source or gone from it."""
    if before.is_gone:
        return after.is_counted and after.state is not before.state and not after.is_open
    if after.is_open or after.state in NEEDS_PERSON:  # the latter are reported last
        return False
    return before.is_open or before.state in NEEDS_PERSON

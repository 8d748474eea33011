"""The state as a run uses it: it counts every change and reports every finished row."""

from __future__ import annotations

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
        self._tally(counted)
        try:
            await super().save(changes)
        except Exception:
            self._tally([(after, before) for before, after in counted])
            raise
        for before, after in counted:
            if _is_news(before, after):
                await self._outcomes.put(outcome_of(after))

    def _tally(self, changes: Sequence[Transition]) -> None:
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

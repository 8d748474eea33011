"""The journal as a run uses it: every change counted, every finished row told."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._report import by_status, outcome_of
from plivo_endpoints.provisioning._states import OPEN, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._journal import Change, Entries
    from plivo_endpoints.provisioning._report import Outcome, Status
    from plivo_endpoints.provisioning._states import Entry

_BATCH: Final = 500
_MOST_UNREAD: Final = 1_000


class Channel:
    """Outcomes on their way to whoever iterates; a slow reader slows the run down, not the memory up."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, outcome: Outcome) -> None:
        """Add an outcome, when there is room; none is taken any more once it is closed."""
        while len(self._waiting) >= _MOST_UNREAD and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._waiting.append(outcome)
            self._news.set()

    async def get(self) -> Outcome | None:
        """Take the next outcome; `None` after the last."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """No outcome will follow."""
        self._closed = True
        self._news.set()
        self._room.set()


class Ledger:
    """A journal that keeps count in memory and passes outcomes on.

    It is used like the journal itself, so that whoever changes an entry cannot forget to count it.
    """

    def __init__(self, journal: Entries, outcomes: Channel) -> None:
        self.journal = journal
        self._outcomes = outcomes
        self._counts: Counter[State] = Counter()

    @property
    def counts(self) -> Mapping[Status, int]:
        """Rows by status."""
        return by_status(self._counts)

    def has(self, *states: State) -> bool:
        """Whether a row is in one of these states."""
        return any(self._counts[state] for state in states)

    def number_of(self, state: State) -> int:
        """How many rows are in a state."""
        return self._counts[state]

    async def facts(self) -> Mapping[str, str]:
        """See `Journal`."""
        return await self.journal.facts()

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `Journal`."""
        await self.journal.note(facts)

    async def save(self, changes: Sequence[Change]) -> None:
        """See `Journal`; a row that is finished by it becomes an outcome."""
        # Counted first: the journal carries out what it was asked for even if this wait is cut short.
        self._tally(changes)
        try:
            await self.journal.save(changes)
        except Exception:
            self._tally([(after, before) for before, after in changes])
            raise
        for before, after in changes:
            if after.state not in OPEN and before.state in OPEN:
                await self._outcomes.put(outcome_of(after))

    def _tally(self, changes: Sequence[Change]) -> None:
        for before, after in changes:
            self._counts[before.state] -= 1
            self._counts[after.state] += 1

    async def read(self, *, after: int, limit: int, states: Collection[State]) -> Sequence[Entry]:
        """See `Journal`."""
        return await self.journal.read(after=after, limit=limit, states=states)

    async def find(self, aliases: Collection[str]) -> Sequence[Entry]:
        """See `Journal`."""
        return await self.journal.find(aliases)

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `Journal`."""
        return await self.journal.holders(endpoint_ids)

    async def count_gone(self) -> int:
        """See `Journal`."""
        return await self.journal.count_gone()

    async def suffix_lengths(self) -> Collection[int]:
        """See `Journal`."""
        return await self.journal.suffix_lengths()

    async def count(self) -> Mapping[State, int]:
        """See `Journal`; from then on it is known here."""
        counts = await self.journal.count()
        self._counts = Counter(counts)
        return counts


async def batches(journal: Entries, *states: State) -> AsyncGenerator[Sequence[Entry]]:
    """Return all entries in these states, in order, some at a time; they may be changed on the way."""
    after = 0
    while batch := await journal.read(after=after, limit=_BATCH, states=states):
        yield batch
        after = batch[-1].number

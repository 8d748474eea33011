"""A fleet's state in memory: exactly what the protocol requires."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field

from plivo_endpoints._validation import suffix_length
from plivo_endpoints.provisioning import Clash, RowState, StateError
from plivo_endpoints.provisioning._state._protocol import opened
from plivo_endpoints.provisioning._transitions import taken_up

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from plivo_endpoints.provisioning import Entry, Transition


@define
class Contents:
    """What is kept; rows by their keys."""

    facts: dict[str, str] = field(factory=dict[str, str])
    rows: dict[str, Entry] = field(factory=dict[str, "Entry"])
    incoming: dict[str, Entry] = field(factory=dict[str, "Entry"])
    is_made: bool = False

    def copy(self) -> Contents:
        """Return the same, to be changed by itself."""
        return Contents(dict(self.facts), dict(self.rows), dict(self.incoming))


class MemoryState:
    """A state that lasts as long as the program.

    Args:
        contents: Those of another one, to share them.
        read_only: Only look.
    """

    def __init__(self, contents: Contents | None = None, *, read_only: bool = False) -> None:
        self._contents = contents or Contents()
        self._is_read_only = read_only
        self._refusal: str | None = "the state is closed"

    @property
    def _known(self) -> Contents:
        """The contents, as long as they may be looked at."""
        if self._refusal is not None:
            raise StateError(self._refusal)
        return self._contents

    @property
    def _own(self) -> Contents:
        """The contents, as long as they may be changed."""
        if self._is_read_only:
            raise self._failed("the state is only looked at")
        return self._known

    @property
    def _rows(self) -> list[Entry]:
        return sorted(self._known.rows.values(), key=lambda entry: entry.number)

    def _failed(self, why: str) -> StateError:
        self._refusal = self._refusal or why
        return StateError(self._refusal)

    async def open(self) -> None:
        """See `FleetState`."""
        if self._refusal != "the state is closed":
            raise StateError("the state is open already")
        if self._is_read_only and not self._contents.is_made:
            raise StateError("there is no state")
        self._contents.is_made = True
        self._refusal = None

    async def close(self) -> None:
        """See `FleetState`."""
        self._refusal = "the state is closed"

    def read_only(self) -> MemoryState:
        """See `FleetState`."""
        return MemoryState(self._contents, read_only=True)

    @asynccontextmanager
    async def scratch_copy(self) -> AsyncGenerator[MemoryState]:
        """See `FleetState`."""
        async with opened(MemoryState(self._contents.copy())) as scratch:
            yield scratch

    async def facts(self) -> Mapping[str, str]:
        """See `FleetState`."""
        return dict(self._known.facts)

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        self._own.facts.update(facts)

    async def clear(self) -> None:
        """See `FleetState`."""
        self._own.rows.clear()

    async def discard(self) -> None:
        """See `FleetState`."""
        self._own.incoming.clear()

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """See `FleetState`."""
        return [clash for entry in entries for clash in self._add(entry)]

    def _add(self, entry: Entry) -> list[Clash]:
        incoming = self._own.incoming
        named = [first for first in incoming.values() if first.wanted.username == entry.wanted.username]
        clashes = [Clash(entry, "username", first) for first in named]
        # A key that was taken from the username says nothing more.
        if entry.key in incoming and not (clashes and entry.key == entry.wanted.username):
            clashes.append(Clash(entry, "key", incoming[entry.key]))
        if not clashes:
            incoming[entry.key] = entry
        return clashes

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        own = self._own
        before, own.rows = own.rows, {}
        for place, entry in enumerate(before.values(), 1):
            new = own.incoming.pop(entry.key, None)
            if new is None:
                after = taken_up(entry, (-place, 0), None)
            else:
                after = taken_up(entry, (new.number, new.line), new.wanted)
            if after is not None:
                own.rows[entry.key] = after
        own.rows |= own.incoming
        own.incoming.clear()
        own.facts.update(facts)

    async def save(self, changes: Sequence[Transition]) -> None:
        """See `FleetState`."""
        rows = dict(self._own.rows)
        for before, after in changes:
            now = rows.get(before.key)
            if now is None or (now.state, now.epoch) != (before.state, before.epoch):
                raise self._failed(f"row {before.number} was changed by another process")
            rows[before.key] = after
        self._own.rows = rows

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """See `FleetState`."""
        return [
            entry
            for entry in self._rows
            if after < entry.number and (up_to is None or entry.number <= up_to) and entry.state in states
        ][:limit]

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """See `FleetState`."""
        return [
            entry for entry in self._rows if entry.replaces and entry.endpoint_id and entry.state in states
        ][:limit]

    async def find_key(self, key: str) -> Entry | None:
        """See `FleetState`."""
        return self._known.rows.get(key)

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        return [
            entry
            for entry in self._rows
            if (not entry.is_gone and entry.wanted.username in usernames)
            or (entry.sent is not None and entry.sent.username in usernames)
        ]

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        return [
            entry
            for entry in self._rows
            if (entry.has_endpoint and entry.endpoint_id in endpoint_ids) or entry.replaces in endpoint_ids
        ]

    async def suffix_lengths(self) -> Collection[int]:
        """See `FleetState`."""
        lengths = {
            suffix_length(entry.known.username, entry.made_as)
            for entry in self._rows
            if entry.epoch and entry.endpoint_id and entry.known and entry.made_as
        }
        return {length for length in lengths if length}

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`."""
        return Counter(entry.state for entry in self._rows if entry.is_counted)

    async def count_held(self) -> tuple[int, int]:
        """See `FleetState`."""
        held = [entry for entry in self._rows if entry.has_endpoint]
        return len(held), sum(entry.is_gone for entry in held)

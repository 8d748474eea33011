"""The rows of a state that a run works on: all of them, or those with certain keys."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._entries import Entry, RowState
    from plivo_endpoints.provisioning._state._protocol import EntryStore, Transition


class Selection:
    """A state of which only some rows are read and counted.

    Lookups of certain rows, such as the holder of an endpoint, still search all of them.
    """

    def __init__(self, state: EntryStore, keys: Collection[str] | None) -> None:
        self.state = state
        self._keys = keys

    def has_row(self, entry: Entry) -> bool:
        """Whether a row is selected."""
        return self._keys is None or entry.key in self._keys

    async def _read_selected(self) -> list[Entry]:
        entries = [await self.state.find_key(key) for key in self._keys or ()]
        return sorted(filter(None, entries), key=lambda entry: entry.number)

    async def facts(self) -> Mapping[str, str]:
        """See `FleetState`."""
        return await self.state.facts()

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        await self.state.note(facts)

    async def save(self, changes: Sequence[Transition]) -> None:
        """See `FleetState`."""
        await self.state.save(changes)

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """See `FleetState`."""
        if self._keys is None:
            return await self.state.read(after=after, limit=limit, states=states, up_to=up_to)
        return [
            entry
            for entry in await self._read_selected()
            if entry.state in states and after < entry.number and (up_to is None or entry.number <= up_to)
        ][:limit]

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """See `FleetState`."""
        if self._keys is None:
            return await self.state.read_replaced(limit, states)
        return [
            entry
            for entry in await self._read_selected()
            if entry.state in states and entry.endpoint_id and entry.replaces
        ][:limit]

    async def find_key(self, key: str) -> Entry | None:
        """See `FleetState`."""
        return await self.state.find_key(key)

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        return await self.state.find(usernames)

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        return await self.state.holders(endpoint_ids)

    async def suffix_lengths(self) -> Collection[int]:
        """See `FleetState`."""
        return await self.state.suffix_lengths()

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`."""
        if self._keys is None:
            return await self.state.count()
        return Counter(entry.state for entry in await self._read_selected() if entry.is_counted)

    async def count_held(self) -> tuple[int, int]:
        """See `FleetState`; the first number covers all rows, as a deletion limit may be a share of it."""
        held, gone = await self.state.count_held()
        if self._keys is not None:
            gone = sum(entry.has_endpoint and entry.is_gone for entry in await self._read_selected())
        return held, gone

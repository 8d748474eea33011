"""Decide in one walk which creates with a lost response were carried out."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import DOCUMENTED_SUFFIX, RowState
from plivo_endpoints.provisioning._listing import walk
from plivo_endpoints.provisioning._matching import has_name, matches, may_be
from plivo_endpoints.provisioning._state._protocol import batches

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import EntryStore, Transition


async def reconcile(client: AsyncClient, state: EntryStore) -> None:
    """Decide on every parked row, after its settling time and with no create in flight.

    A walk that may be incomplete proves only what it found.
    """
    namesakes: dict[str, dict[str, Found]] = {}

    async def visit(page: list[Found]) -> None:
        for entry, found, holder in await matches(state, page, None):
            is_its_own = found.endpoint_id == entry.replaces
            if holder is None and entry.state is RowState.PARKED and not is_its_own:
                namesakes.setdefault(entry.key, {})[found.endpoint_id] = found

    gap = await walk(client, visit)
    proven = await state.suffix_lengths()
    taken: set[str] = set()  # by rows decided on just now: two rows may have requested the same
    async with aclosing(batches(state, RowState.PARKED)) as parked:
        async for batch in parked:
            changes: list[Transition] = []
            for entry in batch:
                found = [each for id_, each in namesakes.get(entry.key, {}).items() if id_ not in taken]
                after = _decide(entry, found, proven, gap)
                changes.append((entry, after))
                taken |= {after.endpoint_id} if after.endpoint_id else set()
            await state.save(changes)


def _decide(entry: Entry, namesakes: Collection[Found], proven: Collection[int], gap: str | None) -> Entry:
    suffixes = proven or {DOCUMENTED_SUFFIX}
    candidates = [found for found in namesakes if may_be(entry, found, suffixes)]
    alike = [
        found
        for found in namesakes
        if found not in candidates
        and (has_name(entry, found, suffixes) or (found.alias == entry.sought.alias and not proven))
    ]
    if gap and not candidates and not alike:
        return states.undecidable(entry, gap)
    return states.decided(entry, candidates, alike)

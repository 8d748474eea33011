"""Deciding on the rows whose create may or may not have happened: one walk for all of them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._states import State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._states import Entry, Found


async def reconcile(client: AsyncClient, journal: Entries) -> None:
    """Decide on every parked row; all of them must have settled, and nothing may be on its way.

    Walks that may have missed some prove only what they found.
    """
    found: dict[int, dict[str, Found]] = {}

    async def visit(page: list[Found]) -> None:
        for entry, match in await matches(journal, page):
            if entry.state is State.PARKED and states.may_be(entry, match):
                found.setdefault(entry.number, {})[match.endpoint_id] = match

    doubt = await walk(client, visit)
    async with aclosing(batches(journal, State.PARKED)) as parked:
        async for batch in parked:
            await journal.save(
                [(entry, _decide(entry, found.get(entry.number, {}), doubt)) for entry in batch]
            )


def _decide(entry: Entry, candidates: Mapping[str, Found], doubt: str | None) -> Entry:
    if doubt and not candidates:
        return states.undecidable(entry, doubt)
    return states.decided(entry, tuple(candidates.values()))


async def matches(journal: Entries, page: list[Found]) -> list[tuple[Entry, Found]]:
    """Return each endpoint of a page that has the alias of a row, with the row."""
    entries = {entry.alias: entry for entry in await journal.find([found.alias for found in page])}
    return [(entries[found.alias], found) for found in page if found.alias in entries]

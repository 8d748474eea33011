"""Deciding on the rows whose create may or may not have happened: one walk for all of them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._states import State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._states import Entry, Found


async def reconcile(client: AsyncClient, journal: Entries) -> None:
    """Decide on every parked row; all of them must have settled, and nothing may be on its way.

    Walks that may have missed some prove only what they found.
    """
    namesakes: dict[int, dict[str, Found]] = {}

    async def visit(page: list[Found]) -> None:
        for entry, match, holder in await matches(journal, page):
            if (
                holder is None
                and entry.state is State.PARKED
                and states.is_made_from(entry.username, match.username)
            ):
                namesakes.setdefault(entry.number, {})[match.endpoint_id] = match

    doubt = await walk(client, visit)
    suffixes = await known_suffixes(journal)
    async with aclosing(batches(journal, State.PARKED)) as parked:
        async for batch in parked:
            await journal.save(
                [
                    (entry, _decide(entry, namesakes.get(entry.number, {}).values(), suffixes, doubt))
                    for entry in batch
                ]
            )


def _decide(
    entry: Entry, namesakes: Collection[Found], suffixes: Collection[int], doubt: str | None
) -> Entry:
    if doubt and not namesakes:
        return states.undecidable(entry, doubt)
    candidates = [found for found in namesakes if states.may_be(entry, found, suffixes)]
    return states.decided(entry, candidates, [found for found in namesakes if found not in candidates])


async def known_suffixes(journal: Entries) -> Collection[int]:
    """Return how many digits Plivo appends to usernames: as it did for this run, or else as documented."""
    return await journal.suffix_lengths() or {states.DOCUMENTED_SUFFIX}


async def matches(journal: Entries, page: list[Found]) -> list[tuple[Entry, Found, Entry | None]]:
    """Return what has a row's alias on a page: the row, the endpoint, and whose it is if another's."""
    entries = {entry.alias: entry for entry in await journal.find([found.alias for found in page])}
    alike = [(entries[found.alias], found) for found in page if found.alias in entries]
    holders = await journal.holders([found.endpoint_id for _, found in alike]) if alike else ()
    held = {holder.endpoint_id: holder for holder in holders}
    pairs = [(entry, found, held.get(found.endpoint_id)) for entry, found in alike]
    return [
        (row, found, holder if holder and holder.key != row.key else None) for row, found, holder in pairs
    ]

"""Deciding on the rows whose create may or may not have happened: one walk for all of them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._states import State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Journal
    from plivo_endpoints.provisioning._states import Found

_MOST_WALKS: Final = 5


async def reconcile(client: AsyncClient, journal: Journal) -> None:
    """Decide on every parked row; all of them must have settled, and nothing may be on its way.

    A walk that endpoints vanished from proves only what it found: for the rest another is made.
    """
    found: dict[int, dict[str, Found]] = {}

    async def visit(page: list[Found]) -> None:
        for entry, match in await matches(journal, page):
            if entry.state is State.PARKED and states.may_be(entry, match):
                found.setdefault(entry.number, {})[match.endpoint_id] = match

    for _ in range(_MOST_WALKS):
        is_whole = await walk(client, visit)
        await _decide(journal, found, is_whole=is_whole)
        if is_whole:
            return
    async with aclosing(batches(journal, State.PARKED)) as parked:
        async for batch in parked:
            await journal.save([(entry, states.undecidable(entry)) for entry in batch])


async def _decide(journal: Journal, found: dict[int, dict[str, Found]], *, is_whole: bool) -> None:
    async with aclosing(batches(journal, State.PARKED)) as parked:
        async for batch in parked:
            await journal.save(
                [
                    (entry, states.decided(entry, tuple(found.get(entry.number, {}).values())))
                    for entry in batch
                    if is_whole or entry.number in found
                ]
            )


async def matches(journal: Journal, page: list[Found]) -> list[tuple[states.Entry, Found]]:
    """Return each endpoint of a page that has the alias of a row, with the row."""
    entries = {entry.alias: entry for entry in await journal.find([found.alias for found in page])}
    return [(entries[found.alias], found) for found in page if found.alias in entries]

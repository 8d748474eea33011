"""Deciding on the rows whose create may or may not have happened: one walk for all of them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import DOCUMENTED_SUFFIX, RowState
from plivo_endpoints.provisioning._listing import walk
from plivo_endpoints.provisioning._state._counting import batches

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import Change, Entries


async def reconcile(client: AsyncClient, state: Entries) -> None:
    """Decide on every parked row; all of them must have settled, and nothing may be on its way.

    Walks that may have missed some prove only what they found.
    """
    namesakes: dict[str, dict[str, Found]] = {}

    async def visit(page: list[Found]) -> None:
        for entry, found, holder in await matches(state, page, None):
            if (
                holder is not None
                or entry.state is not RowState.PARKED
                or found.endpoint_id == entry.replaces
            ):
                continue
            if found.alias == entry.sought.alias:
                namesakes.setdefault(entry.key, {})[found.endpoint_id] = found

    doubt = await walk(client, visit)
    proven = await state.suffix_lengths()
    taken: set[str] = set()  # by rows decided on just now: two of them may have asked for the same
    async with aclosing(batches(state, RowState.PARKED)) as parked:
        async for batch in parked:
            changes: list[Change] = []
            for entry in batch:
                found = [each for id_, each in namesakes.get(entry.key, {}).items() if id_ not in taken]
                after = _decide(entry, found, proven, doubt)
                changes.append((entry, after))
                taken |= {after.endpoint_id} if after.endpoint_id else set()
            await state.save(changes)


def _decide(entry: Entry, namesakes: Collection[Found], proven: Collection[int], doubt: str | None) -> Entry:
    suffixes = proven or {DOCUMENTED_SUFFIX}
    candidates = [found for found in namesakes if states.may_be(entry, found, suffixes)]
    # Once it is known how many digits Plivo appends, another number is that of another name.
    unlikely = [] if proven else [found for found in namesakes if found not in candidates]
    if doubt and not candidates and not unlikely:
        return states.undecidable(entry, doubt)
    return states.decided(entry, candidates, unlikely)


async def known_suffixes(state: Entries) -> Collection[int]:
    """Return how many digits Plivo appends to usernames: as it did for this run, or else as documented."""
    return await state.suffix_lengths() or {DOCUMENTED_SUFFIX}


async def matches(
    state: Entries, page: list[Found], suffixes: Collection[int] | None
) -> list[tuple[Entry, Found, Entry | None]]:
    """Return what can have been made for a row on a page, by its name.

    Args:
        state: Has the rows.
        page: Endpoints of the account.
        suffixes: How many digits Plivo appends; `None` for any number.

    Returns:
        The row, the endpoint, and the row whose it is if that is another.
    """
    named: dict[str, list[Found]] = {}
    for found in page:
        for name in _names(found.username, suffixes):
            named.setdefault(name, []).append(found)
    entries = await state.find(named) if named else ()
    alike = [(entry, found) for entry in entries for found in named.get(entry.sought.username, ())]
    holders = await state.holders([found.endpoint_id for _, found in alike]) if alike else ()
    held = {id_: holder for holder in holders for id_ in (holder.endpoint_id, holder.replaces)}
    pairs = [(entry, found, held.get(found.endpoint_id)) for entry, found in alike]
    return [
        (row, found, holder if holder and holder.key != row.key else None) for row, found, holder in pairs
    ]


def _names(made_as: str, suffixes: Collection[int] | None) -> list[str]:
    """Return the usernames that Plivo can have made a name from."""
    digits = len(made_as) - len(made_as.rstrip("0123456789"))
    lengths = range(1, digits + 1) if suffixes is None else (each for each in suffixes if each <= digits)
    return [made_as[:-length] for length in lengths if length < len(made_as)]

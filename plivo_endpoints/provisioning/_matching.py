"""Match endpoints of the account to rows, by username without the appended digits and by alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plivo_endpoints._validation import suffix_length
from plivo_endpoints.provisioning._entries import DOCUMENTED_SUFFIX, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import EntryStore


def is_made_from(username: str, made_as: str) -> bool:
    """Whether Plivo can have made `made_as` from the requested username by appending digits."""
    return suffix_length(username, made_as) is not None


def may_be(entry: Entry, found: Found, suffixes: Collection[int]) -> bool:
    """Whether a create of this row can have made an endpoint.

    Args:
        entry: The row.
        found: The endpoint.
        suffixes: How many digits Plivo is known to append. `ext12` with its digits is also `ext1` with
            digits, but with one too many.
    """
    return found.alias == entry.sought.alias and has_name(entry, found, suffixes)


def has_name(entry: Entry, found: Found, suffixes: Collection[int]) -> bool:
    """Whether an endpoint's username is the row's with as many digits as Plivo is known to append."""
    return suffix_length(entry.sought.username, found.username) in suffixes


async def claimant(state: EntryStore, gone: Entry) -> Entry | None:
    """Return the row in conflict that may be meant to take over the endpoint of a row that is gone."""
    username = gone.sought.username
    for entry in await state.find([username]):
        if entry.state is RowState.CONFLICT and entry.wanted.username == username:
            return entry
    return None


async def known_suffixes(state: EntryStore) -> Collection[int]:
    """Return how many digits Plivo appends to usernames: as observed in this fleet, or as documented."""
    return await state.suffix_lengths() or {DOCUMENTED_SUFFIX}


async def plausible_suffixes(state: EntryStore) -> Collection[int]:
    """Return the known and the documented number of digits, for endpoints that may be of any age.

    If Plivo changes the number of digits one day, older endpoints still have the old number.
    """
    return {DOCUMENTED_SUFFIX, *await known_suffixes(state)}


async def matches(
    state: EntryStore, page: list[Found], suffixes: Collection[int] | None
) -> list[tuple[Entry, Found, Entry | None]]:
    """Return the endpoints on a page that have a row's username.

    Args:
        state: Has the rows.
        page: Endpoints of the account.
        suffixes: How many digits Plivo appends; `None` for any number.

    Returns:
        For each match the row, the endpoint, and the other row that it belongs to, if any.
    """
    named: dict[str, list[Found]] = {}
    for found in page:
        for name in _names(found.username, suffixes):
            named.setdefault(name, []).append(found)
    entries = await state.find(named) if named else ()
    alike = [(entry, found) for entry in entries for found in named.get(entry.sought.username, ())]
    held = _ids_of(entry for entry in entries if entry.has_endpoint)
    # Most endpoints belong to a row with their username; only for the others is there a second query.
    others = {found.endpoint_id for _, found in alike} - held.keys()
    held |= _ids_of(await state.holders(others)) if others else {}
    pairs = [(entry, found, held.get(found.endpoint_id)) for entry, found in alike]
    return [
        (row, found, holder if holder and holder.key != row.key else None) for row, found, holder in pairs
    ]


def _ids_of(holders: Iterable[Entry]) -> dict[str | None, Entry]:
    return {id_: holder for holder in holders for id_ in (holder.endpoint_id, holder.replaces)}


def _names(made_as: str, suffixes: Collection[int] | None) -> list[str]:
    """Return the requested usernames that Plivo can have made a username from."""
    digits = len(made_as) - len(made_as.rstrip("0123456789"))
    lengths = range(1, digits + 1) if suffixes is None else (each for each in suffixes if each <= digits)
    return [made_as[:-length] for length in lengths if length < len(made_as)]

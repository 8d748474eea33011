"""Endpoints of the account that belong to no row, created by a colleague or another program."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._matching import may_be

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import EntryStore

_BUCKETS: Final = 1024  # enough to keep each bucket short with a million ids
_MASK: Final = 2**64 - 1


class IdSet:
    """A set of endpoint ids that takes 8 bytes per id: it stores 64-bit hashes in sorted buckets."""

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __contains__(self, endpoint_id: str) -> bool:
        number = hash(endpoint_id) & _MASK
        bucket = self._buckets[number % _BUCKETS]
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number

    def update(self, endpoint_ids: Iterable[str]) -> None:
        """Add ids."""
        for endpoint_id in endpoint_ids:
            if endpoint_id not in self:
                number = hash(endpoint_id) & _MASK
                insort(self._buckets[number % _BUCKETS], number)


class Present(IdSet):
    """The endpoints that the list showed before a run created anything."""

    def __init__(self) -> None:
        super().__init__()
        self.is_known = False  # a run with nothing to compare does not walk the list


async def find_strangers(
    state: EntryStore,
    page: Collection[Found],
    pairs: Iterable[tuple[Entry, Found, Entry | None]],
    suffixes: Collection[int],
) -> set[str]:
    """Return the ids of the endpoints on a page that neither belong to a row nor match one.

    An endpoint with the username of a row that has none may have been made for it, whatever its alias is now.

    Args:
        state: Has the rows.
        page: Endpoints of the account.
        pairs: What `matches` returns for them.
        suffixes: How many digits Plivo appends.
    """
    possible = {
        found.endpoint_id
        for entry, found, _ in pairs
        if entry.endpoint_id == found.endpoint_id or not entry.has_endpoint or may_be(entry, found, suffixes)
    }
    others = {found.endpoint_id for found in page} - possible
    holders = await state.holders(others) if others else ()
    return others - {id_ for holder in holders for id_ in (holder.endpoint_id, holder.replaces)}

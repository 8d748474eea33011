"""Endpoints of the account that are no row's: a colleague's, or another program's."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._matching import may_be

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import Entries

_BUCKETS: Final = 1024  # so many that a million ids make short ones
_MASK: Final = 2**64 - 1


class IdSet:
    """A set of endpoint ids that takes 8 bytes for each: it keeps hashes of 64 bits, in sorted buckets."""

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
        """Add those that are not there yet."""
        for endpoint_id in endpoint_ids:
            if endpoint_id not in self:
                number = hash(endpoint_id) & _MASK
                insort(self._buckets[number % _BUCKETS], number)


class Present(IdSet):
    """What the account had before a run created anything, as far as its list showed it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_known = False  # only once the list was walked: a run that has nothing to compare does not


async def find_strangers(
    state: Entries,
    page: Collection[Found],
    pairs: Iterable[tuple[Entry, Found, Entry | None]],
    suffixes: Collection[int],
) -> set[str]:
    """Return the ids of the endpoints on a page that are no row's, and that no row can be.

    What has the name of a row without an endpoint may have been made for it, whatever its alias has become.

    Args:
        state: Has the rows.
        page: Endpoints of the account.
        pairs: What `matches` returns for them.
        suffixes: How many digits Plivo appends.
    """
    possible = {
        found.endpoint_id
        for entry, found, _ in pairs
        if not entry.has_endpoint or may_be(entry, found, suffixes)
    }
    others = {found.endpoint_id for found in page} - possible
    holders = await state.holders(others) if others else ()
    return others - {id_ for holder in holders for id_ in (holder.endpoint_id, holder.replaces)}

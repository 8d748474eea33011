"""What an audit concludes from what it saw: pure, so that the tests can walk through every account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._entries import HELD, RowState
from plivo_endpoints.provisioning._matching import is_made_from, may_be
from plivo_endpoints.provisioning._report import Duplicate
from plivo_endpoints.provisioning._transitions import found_after_all

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plivo_endpoints._models import Endpoint
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import Change


class Findings:
    """What a walk of the account's list tells of the rows."""

    def __init__(self, rows: int, suffixes: Collection[int]) -> None:
        self._suffixes = suffixes  # how many digits Plivo is known to append
        self._seen = bytearray(rows + 1)  # by number: a set would not stay small
        self._duplicates: dict[str, Duplicate] = {}
        self._failed: dict[int, tuple[Entry, set[str]]] = {}

    def add(self, entry: Entry, found: Found) -> None:
        """Take in an endpoint that has a row's username; more than once does no harm."""
        if found.endpoint_id in {entry.endpoint_id, entry.replaces}:
            self._seen[entry.number] = found.alias == entry.sought.alias
        elif entry.is_gone or not may_be(entry, found, self._suffixes):
            return
        elif entry.state in HELD:
            self._duplicates[found.endpoint_id] = _duplicate(entry, found)
        elif entry.state is RowState.FAILED:
            self._failed.setdefault(entry.number, (entry, set()))[1].add(found.endpoint_id)

    def made_after_all(self) -> Sequence[Change]:
        """Return what becomes of rows that failed, yet seem to have been made."""
        return [(entry, found_after_all(entry, ids)) for entry, ids in self._failed.values()]

    def lack(self, entry: Entry) -> bool:
        """Whether the walk did not show a finished row's endpoint: to be asked for, as the list may lag."""
        return not self._seen[entry.number]

    def duplicates(self, doubted: Collection[str]) -> tuple[Duplicate, ...]:
        """Return the duplicates, but for those of rows, by key, whose own endpoint is in doubt."""
        return tuple(duplicate for duplicate in self._duplicates.values() if duplicate.key not in doubted)


def doubt(entry: Entry, endpoint: Endpoint | None) -> str | None:
    """Say why what Plivo returns for a finished row's id is not the row's endpoint, if it is not."""
    if endpoint is None:
        return f"its endpoint {entry.endpoint_id} does not exist any more"
    if endpoint.alias != entry.sought.alias:
        return f"its endpoint {entry.endpoint_id} has another alias now"
    if not is_made_from(entry.sought.username, endpoint.username or ""):
        return f"its endpoint {entry.endpoint_id} is named {endpoint.username}"
    return None


def is_kept(entry: Entry, duplicate: Duplicate) -> bool:
    """Whether the state still holds what a duplicate was told from, and that one stays."""
    return (
        entry.state in HELD and entry.endpoint_id == duplicate.kept and _may_go(entry, duplicate.endpoint_id)
    )


def is_idle_duplicate(duplicate: Duplicate, endpoint: Endpoint) -> bool:
    """Whether a duplicate is as the audit found it, and it is known that no phone is registered."""
    same = (endpoint.alias, endpoint.username) == (duplicate.alias, duplicate.username)
    return same and endpoint.sip_registered is False


def _may_go(entry: Entry, endpoint_id: str) -> bool:
    """Whether a lost create of this row can have made it, and the row's own is the one that stays."""
    return entry.lost > 0 and _age(entry.endpoint_id or "") < _age(endpoint_id)


def _age(endpoint_id: str) -> tuple[int, str]:
    # Of two numbers the smaller one; of whatever else ids may be, any order that all runs share.
    return len(endpoint_id), endpoint_id


def _duplicate(entry: Entry, found: Found) -> Duplicate:
    return Duplicate(
        key=entry.key,
        endpoint_id=found.endpoint_id,
        username=found.username,
        alias=found.alias,
        kept=entry.endpoint_id,
        deletable=_may_go(entry, found.endpoint_id),
    )

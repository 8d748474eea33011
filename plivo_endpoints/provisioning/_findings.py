"""What an audit concludes from what it saw: pure, so that the tests can walk through every account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._report import Double
from plivo_endpoints.provisioning._states import HELD, State, found_after_all, is_made_from, may_be

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plivo_endpoints._models import Endpoint
    from plivo_endpoints.provisioning._journal import Change
    from plivo_endpoints.provisioning._states import Entry, Found


class Findings:
    """What a walk of the account's list tells of the rows."""

    def __init__(self, rows: int, suffixes: Collection[int]) -> None:
        self._suffixes = suffixes  # how many digits Plivo is known to append
        self._seen = bytearray(rows + 1)  # by number: a set would not stay small
        self._doubles: dict[str, Double] = {}
        self._failed: dict[int, tuple[Entry, set[str]]] = {}

    def add(self, entry: Entry, found: Found) -> None:
        """Take in an endpoint that has a row's alias; more than once does no harm."""
        if found.endpoint_id == entry.endpoint_id and is_made_from(entry.username, found.username):
            self._seen[entry.number] = 1
        elif not may_be(entry, found, self._suffixes):
            return
        elif entry.state in HELD:
            self._doubles[found.endpoint_id] = _double(entry, found)
        elif entry.state is State.FAILED:
            self._failed.setdefault(entry.number, (entry, set()))[1].add(found.endpoint_id)

    def made_after_all(self) -> Sequence[Change]:
        """Return what becomes of rows that failed, yet seem to have been made."""
        return [(entry, found_after_all(entry, ids)) for entry, ids in self._failed.values()]

    def lack(self, entry: Entry) -> bool:
        """Whether the walk did not show a finished row's endpoint: to be asked for, as the list may lag."""
        return not self._seen[entry.number]

    def doubles(self, doubted: Collection[str]) -> tuple[Double, ...]:
        """Return the doubles, but for those of rows, by key, whose own endpoint is in doubt."""
        return tuple(double for double in self._doubles.values() if double.key not in doubted)


def doubt(entry: Entry, endpoint: Endpoint | None) -> str | None:
    """Say why what Plivo returns for a finished row's id is not the row's endpoint, if it is not."""
    if endpoint is None:
        return f"its endpoint {entry.endpoint_id} does not exist any more"
    if endpoint.alias != entry.alias:
        return f"its endpoint {entry.endpoint_id} has another alias now"
    if not is_made_from(entry.username, endpoint.username or ""):
        return f"its endpoint {entry.endpoint_id} is named {endpoint.username}"
    return None


def is_kept(entry: Entry, double: Double) -> bool:
    """Whether the journal still holds what a double was told from, and that is the one that stays."""
    return entry.state in HELD and entry.endpoint_id == double.kept and _may_go(entry, double.endpoint_id)


def is_idle_double(double: Double, endpoint: Endpoint) -> bool:
    """Whether a double is as the audit found it, and no phone is registered; unknown is not unregistered."""
    same = (endpoint.alias, endpoint.username) == (double.alias, double.username)
    return same and endpoint.sip_registered is False


def _may_go(entry: Entry, endpoint_id: str) -> bool:
    """Whether a lost create of this row can have made it, and the row's own is the one that stays."""
    return entry.lost > 0 and _age(entry.endpoint_id or "") < _age(endpoint_id)


def _age(endpoint_id: str) -> tuple[int, str]:
    # Of two numbers the smaller one; of whatever else ids may be, any order that all runs share.
    return len(endpoint_id), endpoint_id


def _double(entry: Entry, found: Found) -> Double:
    return Double(
        key=entry.key,
        endpoint_id=found.endpoint_id,
        username=found.username,
        alias=found.alias,
        kept=entry.endpoint_id,
        deletable=_may_go(entry, found.endpoint_id),
    )

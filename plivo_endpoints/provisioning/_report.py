"""What came of the rows, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Literal, get_args

from attrs import frozen

from plivo_endpoints.provisioning._entries import HELD, RowState

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._entries import Entry

Status = Literal[
    "created",
    "adopted",
    "imported",
    "updated",
    "replaced",
    "deleted",
    "unchanged",
    "failed",
    "unprocessed",
    "review",
]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

_STATUS: Final[Mapping[RowState, Status]] = {
    RowState.CREATED: "created",
    RowState.ADOPTED: "adopted",
    RowState.IMPORTED: "imported",
    RowState.UPDATED: "updated",
    RowState.REPLACED: "replaced",
    RowState.DELETED: "deleted",
    RowState.UNCHANGED: "unchanged",
    RowState.FAILED: "failed",
    RowState.FOUND: "review",
    RowState.RENAMED: "review",
    RowState.VANISHED: "review",
    RowState.CONFLICT: "review",
    RowState.REVIEW: "review",
}


class ExitStatus(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    REVIEW = 3


@frozen(kw_only=True)
class Outcome:
    """What came of one row.

    Attributes:
        key: The row's.
        status: "created"; "adopted": created, and found again after its answer was lost; "imported": an
            endpoint of the account, taken over; "updated"; "replaced": by one of another username, and the
            one before deleted; "deleted", as the source has the row no more; "unchanged"; "failed";
            "unprocessed"; "review": a person has to look, or to allow it.
        endpoint_id: The row's endpoint; none as long as the row is not done, as it may be somebody else's.
        username: Likewise: as Plivo made it, what the phone registers with.
        alias: The name for people, as asked for.
        error: Why it failed or needs review, with the endpoints that matter.
        line: Its line in the source.
    """

    key: str
    status: Status
    endpoint_id: str | None = None
    username: str | None = None
    alias: str
    error: str | None = None
    line: int = 0


@frozen(kw_only=True)
class Duplicate:
    """An endpoint that can be the work of a row which already has another: a duplicate.

    It is `deletable` if a lost create of the fleet can have made it, and the row's own endpoint is the one of
    the two that stays: that with the smaller id, so that two runs can never delete both. Any other may be a
    colleague's, or all that another run has: a person decides.

    Attributes:
        key: The row's.
        endpoint_id: The duplicate.
        username: Its username.
        alias: Its alias.
        kept: The endpoint that the state holds for the row, if any.
        deletable: Whether `delete_duplicates` deletes it, unless a phone is registered.
    """

    key: str
    endpoint_id: str
    username: str
    alias: str
    kept: str | None
    deletable: bool


@frozen(kw_only=True)
class Report:
    """Where a whole run stands.

    Attributes:
        counts: Rows by status; every status is there.
        duplicates: What the audit found too many.
        audited: Whether a whole walk at the end compared account and state.
        gone: Rows that the source has no more, and whose endpoints are still there.
        appeared: Endpoints that are no row's and have appeared on the account during the run that the audit
            ended: a colleague's, or another program's.
    """

    counts: Mapping[Status, int]
    duplicates: tuple[Duplicate, ...] = ()
    gone: int = 0
    audited: bool = False
    appeared: int = 0

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def exit_status(self) -> int:
        """What a program may end with: 0 all rows are done, 1 some failed or are left, 3 some need review."""
        if self.counts["review"] or self.duplicates:
            return ExitStatus.REVIEW
        done = self.audited and not (self.counts["failed"] or self.counts["unprocessed"])
        return ExitStatus.DONE if done else ExitStatus.FAILED


def outcome_of(entry: Entry) -> Outcome:
    """Return what came of an entry so far."""
    status, is_done = status_of(entry), entry.state in {*HELD, RowState.DELETED}
    return Outcome(
        key=entry.key,
        status=status,
        endpoint_id=entry.endpoint_id if is_done else None,
        username=entry.made_as if is_done else None,
        alias=entry.wanted.alias,
        error=None if status == "unprocessed" else entry.reason,
        line=entry.line,
    )


def by_status(counts: Mapping[RowState, int]) -> dict[Status, int]:
    """Return counts by status."""
    return {
        status: sum(count for state, count in counts.items() if _STATUS.get(state, "unprocessed") == status)
        for status in STATUSES
    }


def status_of(entry: Entry) -> Status:
    """Return where a row stands."""
    return _STATUS.get(entry.state, "unprocessed")

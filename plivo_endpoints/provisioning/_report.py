"""Outcomes and reports, for people and programs, and the channel that brings outcomes to the caller."""

from __future__ import annotations

import asyncio
from collections import deque
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
_MOST_UNREAD: Final = 1_000  # outcomes
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

_DONE: Final = frozenset({*HELD, RowState.DELETED})
_STATUS: Final[Mapping[RowState, Status]] = {
    RowState.CREATED: "created",
    RowState.ADOPTED: "adopted",
    RowState.IMPORTED: "imported",
    RowState.UPDATED: "updated",
    RowState.REPLACED: "replaced",
    RowState.DELETED: "deleted",
    RowState.UNCHANGED: "unchanged",
    RowState.UNDELETED: "failed",
    RowState.FAILED: "failed",
    RowState.FOUND: "review",
    RowState.RENAMED: "review",
    RowState.VANISHED: "review",
    RowState.CONFLICT: "review",
    RowState.REVIEW: "review",
}


class ExitStatus(IntEnum):
    """The exit status of a command."""

    DONE = 0
    FAILED = 1
    REVIEW = 3


@frozen(kw_only=True)
class Outcome:
    """The outcome of one row.

    Attributes:
        key: The row's key.
        status: "created"; "adopted": created, and found in the list after the response was lost; "imported":
            an existing endpoint was taken over; "updated"; "replaced": a new endpoint was created for an
            edited username, and the old one deleted; "deleted": the row is no longer in the source;
            "unchanged"; "failed"; "unprocessed"; "review": a person has to decide or to allow a step.
        endpoint_id: The row's endpoint; `None` until the row is done, as it may belong to somebody else.
        username: The username that Plivo assigned, with which the phone registers; `None` until the row is
            done.
        alias: The display name, as requested.
        error: Why it failed or needs review, with the endpoints concerned.
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
    """A second endpoint that matches a row.

    It is `deletable` if a lost create of the fleet can have made it and the row's own endpoint is the one to
    keep: the one with the smaller id, so that two runs can never delete both. Any other may belong to a
    colleague or be the only endpoint of another run, so a person decides.

    Attributes:
        key: The row's key.
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
    """The results of a run for all rows.

    Attributes:
        counts: Number of rows by status; every status is a key.
        duplicates: The duplicates that the audit found.
        audited: Whether a complete walk at the end has compared account and state.
        gone: Number of rows that are no longer in the source but still have an endpoint.
        appeared: Number of endpoints that belong to no row and appeared on the account during the audited
            run, created by a colleague or another program.
    """

    counts: Mapping[Status, int]
    duplicates: tuple[Duplicate, ...] = ()
    gone: int = 0
    audited: bool = False
    appeared: int = 0

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

    @property
    def exit_status(self) -> int:
        """Exit status for a program: 0 if all rows are done, 1 if some failed or are left, 3 for review."""
        if self.counts["review"] or self.duplicates:
            return ExitStatus.REVIEW
        done = self.audited and not (self.counts["failed"] or self.counts["unprocessed"])
        return ExitStatus.DONE if done else ExitStatus.FAILED


def outcome_of(entry: Entry) -> Outcome:
    """Return the outcome of an entry so far."""
    status, is_done = status_of(entry), entry.state in _DONE
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
    """Return the status of a row."""
    return _STATUS.get(entry.state, "unprocessed")


class Channel:
    """Passes outcomes to the iterating caller; a slow reader slows the run down instead of using memory."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, outcome: Outcome) -> None:
        """Add an outcome when there is room; ignore it once the channel is closed."""
        while len(self._waiting) >= _MOST_UNREAD and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._waiting.append(outcome)
            self._news.set()

    async def get(self) -> Outcome | None:
        """Return the next outcome, or `None` after the last."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Accept no further outcomes."""
        self._closed = True
        self._news.set()
        self._room.set()

"""What the state knows of a row, and where a row can stand."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import frozen

from plivo_endpoints.provisioning._marks import is_edited, is_known

DOCUMENTED_SUFFIX: Final = 12  # digits that Plivo appends to a username


class RowState(StrEnum):
    """Where a row stands."""

    NEW = "new"
    INTENT = "intent"
    PARKED = "parked"
    FOUND = "found"
    OUTDATED = "outdated"
    RENAMED = "renamed"
    VANISHED = "vanished"
    CREATED = "created"
    ADOPTED = "adopted"
    IMPORTED = "imported"
    UPDATED = "updated"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    DELETING = "deleting"
    DELETED = "deleted"
    FORGOTTEN = "forgotten"
    FAILED = "failed"
    CONFLICT = "conflict"
    REVIEW = "review"


OPEN: Final = frozenset({RowState.NEW, RowState.INTENT, RowState.PARKED, RowState.OUTDATED})
HELD: Final = frozenset(
    {
        RowState.CREATED,
        RowState.ADOPTED,
        RowState.IMPORTED,
        RowState.UPDATED,
        RowState.REPLACED,
        RowState.UNCHANGED,
    }
)
# Its endpoint is on the account, as far as is known.
KEPT: Final = frozenset({*HELD, RowState.OUTDATED, RowState.RENAMED})
# A person has to allow or decide it.
WAITING: Final = frozenset({RowState.FOUND, RowState.RENAMED, RowState.VANISHED, RowState.CONFLICT})
_COUNTED_IF_GONE: Final = frozenset(
    {RowState.INTENT, RowState.PARKED, RowState.DELETED, RowState.FAILED, RowState.REVIEW}
)
WANTING: Final = frozenset({RowState.NEW, RowState.FOUND, RowState.RENAMED, RowState.CONFLICT})


@frozen(kw_only=True)
class Spec:
    """What an endpoint is to be, or is.

    Attributes:
        username: The username asked for, without the digits that Plivo appends.
        alias: The alias.
        app_id: The application; `None` if it is not named.
        password: What is kept of the password: see `_marks`.
    """

    username: str
    alias: str
    app_id: str | None = None
    password: str = "v::"  # noqa: S105 - the mark of none

    def changes_to(self, wanted: Spec) -> tuple[str, ...]:
        """Return which fields of an endpoint that is so are to be updated.

        An application that the source does not name is left as it is, and so is a password that nobody can
        compare.
        """
        fields = {
            "alias": self.alias != wanted.alias,
            "app_id": wanted.app_id not in {None, self.app_id},
            "password": is_edited(self.password, wanted.password),
        }
        return tuple(name for name, differs in fields.items() if differs)


@frozen(kw_only=True)
class Entry:
    """What the state knows of a row: never its password.

    Attributes:
        number: Its place in the source, from 1; below 0 for a row that the source has no more.
        line: Its line in the source, for people; 0 without lines.
        key: The row's key.
        wanted: What the source asks for, or asked for last.
        known: What its endpoint is known to be: as was asked for last, or as the account has shown since.
        sent: What the last create asked for, from its intent until it is known what came of it.
        state: Where it stands.
        epoch: Counts the intents; a decision about one epoch says nothing about the next.
        lost: Creates of it whose answer was lost.
        intent_at: When its last intent was made, in epoch seconds.
        endpoint_id: The endpoint that it is; in FOUND the one that it can be.
        made_as: The username as Plivo made it.
        replaces: The endpoint that it was before, which is deleted once there is the new one.
        reason: Why it failed or needs review, or what has changed on the account, in words.
    """

    number: int
    line: int
    key: str
    wanted: Spec
    known: Spec | None = None
    sent: Spec | None = None
    state: RowState = RowState.NEW
    epoch: int = 0
    lost: int = 0
    intent_at: float | None = None
    endpoint_id: str | None = None
    made_as: str | None = None
    replaces: str | None = None
    reason: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the source has it no more."""
        return self.number < 0

    @property
    def is_counted(self) -> bool:
        """Whether a report counts it: rows of the source do, and what became of others."""
        return not self.is_gone or self.state in _COUNTED_IF_GONE

    @property
    def has_endpoint(self) -> bool:
        """Whether it is known which endpoint of the account is this row's."""
        return self.endpoint_id is not None and self.state not in {RowState.FOUND, RowState.DELETED}

    @property
    def has_known_password(self) -> bool:
        """Whether its endpoint has the password that the source, or the master key, gives."""
        known = self.known
        return self.state in HELD and known is not None and is_known(known.password, self.wanted.password)

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do for it that needs nobody's permission."""
        if self.state is RowState.DELETING:
            return not self.is_gone  # else it takes the permission to delete
        return self.state in OPEN or (self.replaces is not None and self.state in HELD)

    @property
    def sought(self) -> Spec:
        """What an endpoint must look like to be this row's: as asked for, and not as edited since."""
        if self.sent is not None or self.known is None or self.state in WANTING:
            return self.sent or self.wanted
        return self.known


@frozen
class Found:
    """An endpoint of the account, as far as it matters here."""

    endpoint_id: str
    username: str
    alias: str
    app_id: str | None = None

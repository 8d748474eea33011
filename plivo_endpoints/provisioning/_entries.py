"""What the state knows about a row, and the states that a row can be in."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import frozen

from plivo_endpoints.provisioning._marks import is_edited, is_known

DOCUMENTED_SUFFIX: Final = 12  # digits that Plivo appends to a username


class RowState(StrEnum):
    """The state of a row."""

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
    UNDELETED = "undeleted"
    DELETED = "deleted"
    FORGOTTEN = "forgotten"
    FAILED = "failed"
    CONFLICT = "conflict"
    REVIEW = "review"


# There is something left to do that needs no permission.
OPEN: Final = frozenset({RowState.NEW, RowState.INTENT, RowState.PARKED, RowState.OUTDATED})
# Done for this run, with an endpoint.
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
# Its endpoint is believed to be on the account.
KEPT: Final = frozenset({*HELD, RowState.OUTDATED, RowState.RENAMED})
# A person has to allow the next step or decide.
NEEDS_PERSON: Final = frozenset({RowState.FOUND, RowState.RENAMED, RowState.VANISHED, RowState.CONFLICT})
# The query of `SqliteState.count` names the same states.
_COUNTED_IF_GONE: Final = frozenset(
    {
        RowState.INTENT,
        RowState.PARKED,
        RowState.UNDELETED,
        RowState.DELETED,
        RowState.FAILED,
        RowState.REVIEW,
    }
)
# Endpoints with the wanted username matter to it.
WANTING: Final = frozenset({RowState.NEW, RowState.FOUND, RowState.RENAMED, RowState.CONFLICT})


@frozen(kw_only=True)
class Spec:
    """The wanted or known fields of an endpoint.

    Attributes:
        username: The requested username, without the digits that Plivo appends.
        alias: The alias.
        app_id: The application id; `None` if not given.
        password: The mark kept of the password; see `_marks`.
    """

    username: str
    alias: str
    app_id: str | None = None
    password: str = "v::"  # noqa: S105 - the mark of no password

    def changes_to(self, wanted: Spec) -> tuple[str, ...]:
        """Return the names of the fields to update to get from this spec to `wanted`.

        An application that the source does not give is left as it is, and so is a password that cannot be
        compared.
        """
        fields = {
            "alias": self.alias != wanted.alias,
            "app_id": wanted.app_id not in {None, self.app_id},
            "password": is_edited(self.password, wanted.password),
        }
        return tuple(name for name, differs in fields.items() if differs)


@frozen(kw_only=True)
class Entry:
    """What the state knows about a row; never its password.

    Attributes:
        number: Its position in the source, from 1; negative if the row is no longer in the source.
        line: Its line in the source, for people; 0 if the source has no lines.
        key: The row's key.
        wanted: What the source requests, or last requested.
        known: What its endpoint is known to be: as last requested, or as the account has shown since.
        sent: What the last create requested, from its intent until its outcome is known.
        state: The state of the row.
        epoch: Number of intents; a decision about one epoch does not apply to the next.
        lost: Number of its creates whose response was lost.
        intent_at: Time of its last intent, in seconds since the Unix epoch.
        endpoint_id: The row's endpoint; in FOUND the endpoint that matches it.
        made_as: The username that Plivo assigned.
        replaces: The row's previous endpoint, which is deleted once the new one exists.
        reason: Why it failed or needs review, or what has changed on the account.
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
        """Whether the row is no longer in the source."""
        return self.number < 0

    @property
    def is_counted(self) -> bool:
        """Whether a report counts it: all rows of the source, and some that are no longer in it."""
        return not self.is_gone or self.state in _COUNTED_IF_GONE

    @property
    def has_endpoint(self) -> bool:
        """Whether it is known which endpoint of the account belongs to this row."""
        return self.endpoint_id is not None and self.state not in {RowState.FOUND, RowState.DELETED}

    @property
    def has_known_password(self) -> bool:
        """Whether its endpoint has the password from the source or the master key."""
        known = self.known
        return self.state in HELD and known is not None and is_known(known.password, self.wanted.password)

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do for it that needs no permission."""
        if self.state is RowState.DELETING:
            return not self.is_gone  # a row that is gone needs the permission to delete
        return self.state in OPEN or (self.replaces is not None and self.state in HELD)

    @property
    def sought(self) -> Spec:
        """What an endpoint must look like to be this row's: as requested, not as edited since."""
        if self.sent is not None or self.known is None or self.state in WANTING:
            return self.sent or self.wanted
        return self.known


@frozen
class Found:
    """An endpoint of the account, with the fields that matter here."""

    endpoint_id: str
    username: str
    alias: str
    app_id: str | None = None

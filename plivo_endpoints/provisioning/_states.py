"""The state machine of a row: pure functions from one entry of the journal to the next.

```
NEW ──stamp──▶ INTENT ──created──▶ CREATED
 ▲               │ │ └──refused──▶ FAILED
 │◀───released───┘ park / restart
 │                 ▼
 └──none found── PARKED ──one found──▶ ADOPTED,  several ──▶ REVIEW
NEW ──matched by the plan──▶ UNCHANGED | OUTDATED | CONFLICT,  OUTDATED ──updated──▶ UPDATED
FAILED ──found by the audit──▶ REVIEW ◀──doubted by the audit── CREATED | ADOPTED | UPDATED | UNCHANGED
REVIEW ──its endpoint is right again──▶ ADOPTED | UNCHANGED
FAILED | CONFLICT ──with the next run──▶ NEW,  what has an endpoint ──edited──▶ OUTDATED
```

INTENT says: a create of this row may be on its way. It is durable before the first byte leaves, so a row in
any other state has none. No clock, file or network in here: what is true is decided elsewhere, what follows
from it here, and the tests walk through every interleaving of these very functions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

DOCUMENTED_SUFFIX: Final = 12  # digits that Plivo appends to a username
SEND_GUARD: Final = 5.0  # seconds for which an intent entitles to send
MAX_LOST: Final = 5  # creates of one row that may be lost, and proven to have made nothing, before it fails


class State(StrEnum):
    """Where a row stands."""

    NEW = "new"
    INTENT = "intent"
    PARKED = "parked"
    OUTDATED = "outdated"
    CREATED = "created"
    ADOPTED = "adopted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    CONFLICT = "conflict"
    REVIEW = "review"


OPEN: Final = frozenset({State.NEW, State.INTENT, State.PARKED, State.OUTDATED})
HELD: Final = frozenset({State.CREATED, State.ADOPTED, State.UPDATED, State.UNCHANGED})


@frozen(kw_only=True)
class Entry:
    """What the journal knows of a row: never its password.

    Attributes:
        number: Its place in the source, from 1; 0 for a row that the source has no more.
        line: Its line in the source, for people; 0 without lines.
        key: The row's key.
        username: The username asked for.
        alias: The alias asked for.
        app_id: The application asked for.
        state: Where it stands.
        epoch: Counts the intents; a decision about one epoch says nothing about the next.
        lost: Creates of it whose answer was lost.
        intent_at: When its last intent was made, in epoch seconds.
        endpoint_id: The endpoint that it became.
        made_as: The username as Plivo made it.
        reason: Why it failed or needs review, in words.
        edition: Which edition of the source, from 1, it was last planned with.
    """

    number: int
    line: int
    key: str
    username: str
    alias: str
    app_id: str | None = None
    state: State = State.NEW
    epoch: int = 0
    lost: int = 0
    intent_at: float | None = None
    endpoint_id: str | None = None
    made_as: str | None = None
    reason: str | None = None
    edition: int = 1


@frozen(kw_only=True)
class Wanted:
    """What an edition of the source asks for in a row."""

    username: str
    alias: str
    app_id: str | None


@frozen
class Found:
    """An endpoint of the account's list, as far as it matters here."""

    endpoint_id: str
    username: str
    alias: str
    app_id: str | None = None


def suffix_length(username: str, made_as: str) -> int | None:
    """Return how many digits Plivo appended to a username; `None` if it did something else."""
    digits = made_as.removeprefix(username)
    return len(digits) if made_as.startswith(username) and digits.isascii() and digits.isdigit() else None


def is_made_from(username: str, made_as: str) -> bool:
    """Whether Plivo can have made `made_as` out of the username asked for: it appends digits."""
    return suffix_length(username, made_as) is not None


def may_be(entry: Entry, found: Found, suffixes: Collection[int]) -> bool:
    """Whether an endpoint can be the work of a create of this row.

    Args:
        entry: The row.
        found: The endpoint.
        suffixes: How many digits Plivo is known to append. `ext12` and its digits is `ext1` and digits too,
            but one too many.
    """
    return found.alias == entry.alias and suffix_length(entry.username, found.username) in suffixes


def stamp(entry: Entry, now: float) -> Entry:
    """Intend to send a create; durable before the first byte leaves, and again if it gets too old."""
    _expect(entry, State.NEW, State.INTENT)
    return evolve(entry, state=State.INTENT, epoch=entry.epoch + 1, intent_at=now)


def is_fresh(entry: Entry, now: float) -> bool:
    """Whether the intent still entitles to send: later, somebody may have decided that nothing was sent."""
    return entry.intent_at is not None and 0 <= now - entry.intent_at < SEND_GUARD


def created(entry: Entry, endpoint_id: str, made_as: str) -> Entry:
    """Plivo answered."""
    _expect(entry, State.INTENT)
    return evolve(entry, state=State.CREATED, endpoint_id=endpoint_id, made_as=made_as, reason=None)


def refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused this row for what it is."""
    _expect(entry, State.NEW, State.INTENT)
    return evolve(entry, state=State.FAILED, reason=reason)


def released(entry: Entry) -> Entry:
    """Nothing left, or what left was refused for no fault of the row: it can be sent like a new one."""
    _expect(entry, State.INTENT)
    return evolve(entry, state=State.NEW)


def parked(entry: Entry, reason: str) -> Entry:
    """The answer is lost: the endpoint may exist, now or shortly."""
    _expect(entry, State.INTENT)
    return evolve(entry, state=State.PARKED, lost=entry.lost + 1, reason=reason)


def recovered(entry: Entry) -> Entry:
    """The process that intended is gone, for no fault of Plivo's; else as `parked`."""
    _expect(entry, State.INTENT)
    return evolve(entry, state=State.PARKED, reason="the program ended while the create was under way")


def decided(entry: Entry, candidates: Sequence[Found], unlikely: Sequence[Found] = ()) -> Entry:
    """Decide on a parked row, after it settled, by what a whole walk found.

    Args:
        entry: The row.
        candidates: What can be the work of its create.
        unlikely: What has its alias and its name, but another number of digits than Plivo is known to append.
            Neither adopted nor passed over: a person decides.
    """
    _expect(entry, State.PARKED)
    if len(candidates) > 1:
        ids = ", ".join(sorted(found.endpoint_id for found in candidates))
        return evolve(entry, state=State.REVIEW, reason=f"several endpoints can be this row: {ids}")
    if candidates:
        (found,) = candidates
        return evolve(
            entry, state=State.ADOPTED, endpoint_id=found.endpoint_id, made_as=found.username, reason=None
        )
    if unlikely:
        names = ", ".join(sorted(f"{found.endpoint_id} ({found.username})" for found in unlikely))
        reason = (
            f"its lost create may have made endpoint {names}, whose name has another number of digits than "
            "expected"
        )
        return evolve(entry, state=State.REVIEW, reason=reason)
    if entry.lost >= MAX_LOST:
        return evolve(
            entry, state=State.FAILED, reason=f"tried {entry.lost} times and not made; last: {entry.reason}"
        )
    return evolve(entry, state=State.NEW)


def undecidable(entry: Entry, doubt: str) -> Entry:
    """No walk could prove that a parked row was not made."""
    _expect(entry, State.PARKED)
    return evolve(entry, state=State.REVIEW, reason=f"whether it was made cannot be told: {doubt}")


def matched(entry: Entry, found: Found, met: Collection[str], suffixes: Collection[int]) -> Entry:
    """The plan met an endpoint with this row's alias; `met` are the ids of all it has met so far."""
    _expect(entry, State.NEW, State.UNCHANGED, State.OUTDATED, State.CONFLICT)
    if len(met) > 1:
        first, second, *more = sorted(met)
        many = f"{len(met)} endpoints, among them" if more else "endpoints"
        reason = f"its alias is that of {many} {first} and {second}"
        return evolve(entry, state=State.CONFLICT, reason=reason)
    known = evolve(entry, endpoint_id=found.endpoint_id, made_as=found.username)
    if suffix_length(entry.username, found.username) not in suffixes:
        reason = f"its alias is that of endpoint {found.endpoint_id}, whose username is {found.username}"
        return evolve(known, state=State.CONFLICT, reason=reason)
    same = entry.app_id in (None, found.app_id)
    return evolve(known, state=State.UNCHANGED if same else State.OUTDATED)


def claimed(entry: Entry, found: Found, holder: Entry) -> Entry:
    """The plan met what can be this row's endpoint, but is that of a row which the source has no more."""
    _expect(entry, State.NEW, State.UNCHANGED, State.OUTDATED, State.CONFLICT)
    if not is_made_from(entry.username, found.username):
        return entry
    reason = (
        f"it can be endpoint {found.endpoint_id}, which was made for key {holder.key!r}: give the row that "
        "key, or another alias"
    )
    return evolve(entry, state=State.CONFLICT, endpoint_id=found.endpoint_id, reason=reason)


def unmatched(entry: Entry) -> Entry:
    """The plan begins anew: what it met may be gone."""
    _expect(entry, State.UNCHANGED, State.OUTDATED, State.CONFLICT)
    return evolve(entry, state=State.NEW, endpoint_id=None, made_as=None, reason=None)


def why_not_edited(entry: Entry, wanted: Wanted | None) -> str | None:
    """Return why a new edition of the source must not do this to a row; `None` if it may.

    Args:
        entry: The row.
        wanted: What the new edition asks for; `None` if it has the row no more.
    """
    same = wanted == Wanted(username=entry.username, alias=entry.alias, app_id=entry.app_id)
    if entry.state in {State.INTENT, State.PARKED} and not same:
        return (
            "its create was under way when the last run ended, so its endpoint may exist: apply the source "
            "without this edit first"
        )
    if wanted is None or same:
        return None
    if entry.state is State.REVIEW and entry.endpoint_id is None:
        return f"it needs review ({entry.reason}), so an edit would do nothing: give the row another key"
    if _has_endpoint(entry) and wanted.username != entry.username:
        return (
            f"a username cannot change, and it has endpoint {entry.endpoint_id}: give the row another key to "
            "make another endpoint"
        )
    return None


def edited(entry: Entry, wanted: Wanted, edition: int) -> Entry:
    """Take up what a new edition of the source asks for, and what the last run left undone."""
    asked = evolve(entry, username=wanted.username, alias=wanted.alias, app_id=wanted.app_id)
    if _has_endpoint(entry):
        differs = wanted.alias != entry.alias or wanted.app_id not in {None, entry.app_id}
        state = State.OUTDATED if differs or entry.state is State.FAILED else entry.state
        return evolve(asked, state=state)
    if entry.state in {State.NEW, State.FAILED, State.CONFLICT}:
        return evolve(asked, state=State.NEW, endpoint_id=None, made_as=None, reason=None, edition=edition)
    return asked


def _has_endpoint(entry: Entry) -> bool:
    return entry.endpoint_id is not None and entry.state is not State.CONFLICT


def updated(entry: Entry) -> Entry:
    """Plivo took the update."""
    _expect(entry, State.OUTDATED)
    return evolve(entry, state=State.UPDATED)


def update_refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused the update."""
    _expect(entry, State.OUTDATED)
    return evolve(entry, state=State.FAILED, reason=reason)


def doubted(entry: Entry, reason: str) -> Entry:
    """The audit found that a finished row is not so."""
    _expect(entry, *HELD)
    return evolve(entry, state=State.REVIEW, reason=reason)


def restored(entry: Entry) -> Entry:
    """The audit found that a row it doubted has its endpoint again."""
    _expect(entry, State.REVIEW)
    state = State.ADOPTED if entry.epoch else State.UNCHANGED
    return evolve(entry, state=state, reason=None)


def found_after_all(entry: Entry, endpoint_ids: Iterable[str]) -> Entry:
    """The audit found what can be the work of a row that failed: perhaps the only endpoint it has."""
    _expect(entry, State.FAILED)
    ids = ", ".join(sorted(endpoint_ids))
    return evolve(
        entry, state=State.REVIEW, reason=f"it failed ({entry.reason}), yet it can be endpoint {ids}"
    )


def _expect(entry: Entry, *states: State) -> None:
    if entry.state not in states:
        raise AssertionError(f"row {entry.number} is {entry.state.value}")

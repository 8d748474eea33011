"""The state machine of a row: pure functions from one entry of the state to the next.

```
NEW ──stamp──▶ INTENT ──created──▶ CREATED
 ▲               │ │ └──refused──▶ FAILED
 │◀───released───┘ park / restart
 │                 ▼
 └──none found── PARKED ──one found──▶ ADOPTED,  several ──▶ REVIEW
NEW ──matched by the plan──▶ FOUND ──imported──▶ IMPORTED | OUTDATED,  or CONFLICT
OUTDATED ──updated──▶ UPDATED        RENAMED ──replacing──▶ NEW      VANISHED ──recreating──▶ NEW
CREATED | ADOPTED ──the old endpoint deleted──▶ REPLACED
gone from the source ──deleting──▶ DELETING ──deleted──▶ DELETED,  or back in the source ──remade──▶ NEW
FAILED ──found by the audit──▶ CONFLICT        what has its endpoint ──doubted by the audit──▶ REVIEW
```

INTENT says: a create of this row may be on its way. It is durable before the first byte leaves, so a row in
any other state has none. DELETING says the same of a deletion. With every run that begins, each row is
looked at anew (`taken_up`): only what may be on its way, and the endpoint that a row has, carry over. No
clock, file or network in here: what is true is decided elsewhere, what follows from it here, and the tests
walk through every interleaving of these very functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from plivo_endpoints.provisioning._entries import HELD, KEPT, WANTING, RowState, Spec
from plivo_endpoints.provisioning._marks import IN_DOUBT, merge, unsent
from plivo_endpoints.provisioning._matching import is_made_from

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from plivo_endpoints.provisioning._entries import Entry, Found

SEND_GUARD: Final = 5.0  # seconds for which an intent entitles to send
MAX_LOST: Final = 5  # creates of one row that may be lost, and proven to have made nothing, before it fails


def stamp(entry: Entry, now: float) -> Entry:
    """Intend to send a create; durable before the first byte leaves, and again if it gets too old."""
    _expect(entry, RowState.NEW, RowState.INTENT)
    return evolve(entry, state=RowState.INTENT, epoch=entry.epoch + 1, intent_at=now, sent=entry.wanted)


def is_fresh(entry: Entry, now: float) -> bool:
    """Whether the intent still entitles to send: later, somebody may have decided that nothing was sent."""
    return entry.intent_at is not None and 0 <= now - entry.intent_at < SEND_GUARD


def created(entry: Entry, endpoint_id: str, made_as: str) -> Entry:
    """Plivo answered."""
    _expect(entry, RowState.INTENT)
    return evolve(_made(entry, endpoint_id, made_as), state=RowState.CREATED)


def _made(entry: Entry, endpoint_id: str, made_as: str) -> Entry:
    return evolve(entry, endpoint_id=endpoint_id, made_as=made_as, known=entry.sought, sent=None, reason=None)


def refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused this row for what it is."""
    _expect(entry, RowState.NEW, RowState.INTENT)
    return evolve(entry, state=RowState.FAILED, reason=reason)


def released(entry: Entry) -> Entry:
    """Nothing left, or what left was refused for no fault of the row: it can be sent like a new one."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.NEW, sent=None)


def parked(entry: Entry, reason: str) -> Entry:
    """The answer is lost: the endpoint may exist, now or shortly."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.PARKED, lost=entry.lost + 1, reason=reason)


def recovered(entry: Entry) -> Entry:
    """The process that intended is gone, for no fault of Plivo's; else as `parked`."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.PARKED, reason="the program ended while the create was under way")


def decided(entry: Entry, candidates: Sequence[Found], alike: Sequence[Found] = ()) -> Entry:
    """Decide on a parked row, after it settled, by what a whole walk found.

    Args:
        entry: The row.
        candidates: What can be the work of its create.
        alike: What is so but for its alias, or for the number of digits while nothing has shown yet how many
            Plivo appends. Neither adopted nor passed over: a person decides.
    """
    _expect(entry, RowState.PARKED)
    if len(candidates) > 1:
        ids = ", ".join(sorted(found.endpoint_id for found in candidates))
        return evolve(entry, state=RowState.REVIEW, reason=f"several endpoints match it: {ids}")
    if candidates:
        (found,) = candidates
        return _next_of(_made(entry, found.endpoint_id, found.username), RowState.ADOPTED)
    if alike:
        names = ", ".join(sorted(f"{each.endpoint_id} ({each.username}, {each.alias!r})" for each in alike))
        reason = f"its lost create may have made endpoint {names}, which is not quite what was asked for"
        return evolve(entry, state=RowState.REVIEW, reason=reason)
    return _not_made(entry)


def _not_made(entry: Entry) -> Entry:
    """A lost create made nothing."""
    if entry.is_gone and entry.replaces is None:
        return evolve(entry, state=RowState.FORGOTTEN, sent=None)
    if entry.replaces is not None and (entry.is_gone or entry.sought.username != entry.wanted.username):
        # Nobody wants what was to replace it any more: it has the one before again.
        before = evolve(entry, endpoint_id=entry.replaces, replaces=None, sent=None, reason=None)
        return _next_of(before, RowState.UNCHANGED)
    if entry.lost >= MAX_LOST:
        reason = f"tried {entry.lost} times and not made; last: {entry.reason}"
        return evolve(entry, state=RowState.FAILED, reason=reason)
    return evolve(entry, state=RowState.NEW, sent=None)


def undecidable(entry: Entry, doubt: str) -> Entry:
    """No walk could prove that a parked row was not made."""
    _expect(entry, RowState.PARKED)
    return evolve(entry, state=RowState.REVIEW, reason=f"whether it was made cannot be told: {doubt}")


def taken_up(entry: Entry, place: tuple[int, int], wanted: Spec | None) -> Entry | None:
    """Look at a row anew as a run begins; `None` forgets it.

    Args:
        entry: The row.
        place: Its number and line from now on.
        wanted: What the source asks for; `None` if it has the row no more.
    """
    number, line = place
    entry = evolve(entry, number=number, line=line, wanted=wanted or entry.wanted)
    if entry.state in {RowState.INTENT, RowState.PARKED, RowState.DELETING}:
        return entry
    if entry.state is RowState.REVIEW and entry.endpoint_id is None:
        return evolve(entry, state=RowState.PARKED)  # what its lost create made is looked for again
    entry = evolve(entry, sent=None, reason=None)
    if entry.replaces is not None and entry.endpoint_id is None:  # a new one was to be made, and was not
        entry = evolve(entry, endpoint_id=entry.replaces, replaces=None)
    if entry.has_endpoint:
        return _next_of(entry, RowState.UNCHANGED)
    if entry.is_gone:
        return None
    return evolve(_bare(entry), state=RowState.NEW, lost=min(entry.lost, 1))


def _next_of(entry: Entry, done: RowState) -> Entry:
    """Return what is to be done with a row that has its endpoint; `done` if it is nothing."""
    known, wanted = entry.known or entry.wanted, entry.wanted
    if entry.is_gone:
        return evolve(entry, state=done)
    if known.username != wanted.username:
        reason = f"its username was edited, {known.username!r} -> {wanted.username!r}: allow replace"
        return evolve(entry, state=RowState.RENAMED, reason=reason)
    if known.changes_to(wanted):
        return evolve(entry, state=RowState.OUTDATED)
    return evolve(entry, state=done, known=_agreeing(known, wanted))


def _agreeing(known: Spec, wanted: Spec) -> Spec:
    """Return what is known of an endpoint that is as wanted, as far as that can be compared."""
    password = wanted.password if known.password == IN_DOUBT else merge(known.password, wanted.password)
    return evolve(wanted, app_id=wanted.app_id or known.app_id, password=password)


def matched(entry: Entry, found: Found, met: Collection[str]) -> Entry:
    """The plan met an endpoint with this row's name; `met` are the ids of all it has met so far."""
    _expect(entry, RowState.NEW, RowState.FOUND, RowState.CONFLICT, RowState.RENAMED)
    if len(met) > 1:
        reason = f"several endpoints match it: {', '.join(sorted(met))}"
    elif entry.has_endpoint:
        reason = f"endpoint {found.endpoint_id} ({found.username}) has its new username already"
    elif found.alias != entry.wanted.alias:
        reason = f"endpoint {found.endpoint_id} ({found.username}) has its username, and another alias"
    else:
        return evolve(
            entry,
            state=RowState.FOUND,
            endpoint_id=found.endpoint_id,
            made_as=found.username,
            known=_known_of(entry, found),
            reason=f"endpoint {found.endpoint_id} ({found.username}) matches it: allow import",
        )
    return _in_conflict(entry, reason)


def claimed(entry: Entry, found: Found, holder: Entry) -> Entry:
    """The plan met what can be this row's endpoint, but is that of a row which the source has no more."""
    _expect(entry, *WANTING)
    reason = (
        f"it can be endpoint {found.endpoint_id}, which was made for key {holder.key!r}; that is no longer "
        "in the source: give the row its old key back, or import the endpoint for the new one"
    )
    return _in_conflict(entry, reason)


def _in_conflict(entry: Entry, reason: str) -> Entry:
    """Leave a row to a person; it keeps the endpoint that it has."""
    return evolve(entry if entry.has_endpoint else _bare(entry), state=RowState.CONFLICT, reason=reason)


def contested(entry: Entry, found: Found) -> Entry:
    """The plan met what can be this row's endpoint, and another row's as well."""
    _expect(entry, *WANTING)
    return _in_conflict(entry, f"endpoint {found.endpoint_id} ({found.username}) can be several rows")


def unmatched(entry: Entry) -> Entry:
    """The plan begins anew: what it met may be gone."""
    _expect(entry, RowState.FOUND, RowState.CONFLICT)
    if entry.has_endpoint:
        return _next_of(entry, RowState.UNCHANGED)
    return evolve(_bare(entry), state=RowState.NEW, reason=None)


def _bare(entry: Entry) -> Entry:
    return evolve(entry, endpoint_id=None, made_as=None, known=None)


def imported(entry: Entry) -> Entry:
    """The endpoint that can be the row is the row."""
    _expect(entry, RowState.FOUND)
    return _next_of(evolve(entry, lost=0, reason=None), RowState.IMPORTED)


def settled_on(entry: Entry, found: Found) -> Entry:
    """A person said which endpoint the row is."""
    known = _known_of(entry, found)
    if entry.endpoint_id == found.endpoint_id and entry.known is not None:
        known = evolve(entry.known, alias=found.alias, app_id=found.app_id)
    chosen = evolve(
        entry,
        endpoint_id=found.endpoint_id,
        made_as=found.username,
        known=known,
        sent=None,
        lost=0,
        reason=None,
    )
    return _next_of(chosen, RowState.IMPORTED)


def _known_of(entry: Entry, found: Found) -> Spec:
    # Nobody can read its password. It counts as the one that the source has now, until that is edited.
    return evolve(
        entry.wanted, alias=found.alias, app_id=found.app_id, password=unsent(entry.wanted.password)
    )


def shown(entry: Entry, found: Found) -> Entry:
    """The account has shown what the row's endpoint is now."""
    _expect(entry, *KEPT)
    before = entry.known or entry.wanted
    known = evolve(before, alias=found.alias, app_id=found.app_id)
    seen = evolve(entry, known=known, made_as=found.username)
    if not is_made_from(before.username, found.username):
        reason = f"its endpoint {found.endpoint_id} is named {found.username} now"
        return evolve(entry, state=RowState.VANISHED, reason=reason)
    if entry.state is RowState.RENAMED:
        return seen
    after = _next_of(seen, RowState.UNCHANGED if entry.state is RowState.OUTDATED else entry.state)
    if after.state is RowState.OUTDATED and entry.state is not RowState.OUTDATED:
        names = [name for name in known.changes_to(before) if name != "password"]
        changes = ", ".join(f"{name} {getattr(before, name)!r} -> {getattr(known, name)!r}" for name in names)
        return evolve(after, reason=f"the account has changed it: {changes}")
    return after


def vanished(entry: Entry) -> Entry:
    """The account has no such endpoint any more."""
    _expect(entry, *KEPT)
    reason = f"its endpoint {entry.endpoint_id} is gone: allow recreate"
    return evolve(entry, state=RowState.VANISHED, reason=reason)


def looked_for_again(entry: Entry) -> Entry:
    """It is not known any more whether the account has the endpoint."""
    _expect(entry, RowState.VANISHED)
    return evolve(entry, state=RowState.UNCHANGED, reason=None)


def recreating(entry: Entry) -> Entry:
    """Make what has vanished again."""
    _expect(entry, RowState.VANISHED)
    return evolve(_bare(entry), state=RowState.NEW, lost=0, reason=None)


def replacing(entry: Entry) -> Entry:
    """Make the endpoint of a new name; the one before stays until that is there.

    One at a time: where one before that is still to be deleted, it waits for that.
    """
    _expect(entry, RowState.RENAMED)
    if entry.replaces is not None:
        return entry
    return evolve(
        entry,
        state=RowState.NEW,
        replaces=entry.endpoint_id,
        endpoint_id=None,
        lost=0,
        reason=None,
    )


def replaced(entry: Entry) -> Entry:
    """The endpoint before is deleted."""
    done = RowState.REPLACED if entry.state in {RowState.CREATED, RowState.ADOPTED} else entry.state
    return evolve(entry, state=done, replaces=None)


def deleting(entry: Entry) -> Entry:
    """The endpoint of a row that the source has no more is about to be deleted; durable before that."""
    _expect(entry, *HELD, RowState.DELETING)
    return evolve(entry, state=RowState.DELETING)


def deleted(entry: Entry) -> Entry:
    """The endpoint of a row that the source has no more is deleted."""
    return evolve(entry, state=RowState.DELETED, reason=None)


def remade(entry: Entry) -> Entry:
    """A deletion is finished that was begun before the row came back to the source: it is a new one."""
    _expect(entry, RowState.DELETING)
    return evolve(_bare(entry), state=RowState.NEW, lost=0)


def given_away(entry: Entry) -> Entry:
    """A person said that the endpoint of this row, which the source has no more, is another row's."""
    return evolve(entry, state=RowState.FORGOTTEN, endpoint_id=None, made_as=None, replaces=None)


def not_deleted(entry: Entry, reason: str) -> Entry:
    """The endpoint of a row that is gone, or the one before a replacement, is still there."""
    return evolve(entry, state=RowState.FAILED, reason=reason)


def updating(entry: Entry) -> Entry:
    """An update with a password is about to be sent; durable before that, as nobody can read a password."""
    _expect(entry, RowState.OUTDATED)
    return evolve(entry, known=evolve(entry.known or entry.wanted, password=IN_DOUBT))


def updated(entry: Entry) -> Entry:
    """Plivo took the update."""
    _expect(entry, RowState.OUTDATED)
    before = entry.known or entry.wanted
    changes = before.changes_to(entry.wanted)
    password = (
        entry.wanted.password if "password" in changes else merge(before.password, entry.wanted.password)
    )
    known = evolve(entry.wanted, app_id=entry.wanted.app_id or before.app_id, password=password)
    # What a lost create made has the alias of then, so no endpoint of the new one is its work.
    lost = 0 if "alias" in changes else entry.lost
    return evolve(entry, state=RowState.UPDATED, known=known, lost=lost, reason=None)


def update_refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused the update."""
    _expect(entry, RowState.OUTDATED)
    return evolve(entry, state=RowState.FAILED, reason=reason)


def doubted(entry: Entry, reason: str) -> Entry:
    """The audit found that a finished row is not so."""
    _expect(entry, *HELD)
    return evolve(entry, state=RowState.REVIEW, reason=reason)


def restored(entry: Entry) -> Entry:
    """The audit found that a row it doubted has its endpoint again."""
    _expect(entry, RowState.REVIEW)
    state = RowState.ADOPTED if entry.epoch else RowState.UNCHANGED
    return evolve(entry, state=state, reason=None)


def found_after_all(entry: Entry, endpoint_ids: Iterable[str]) -> Entry:
    """The audit found what can be the work of a row that failed: perhaps the only endpoint it has."""
    _expect(entry, RowState.FAILED)
    ids = ", ".join(sorted(endpoint_ids))
    return evolve(
        entry, state=RowState.CONFLICT, reason=f"it failed ({entry.reason}), yet it can be endpoint {ids}"
    )


def _expect(entry: Entry, *states: RowState) -> None:
    if entry.state not in states:
        raise AssertionError(f"row {entry.number} is {entry.state.value}")

"""The state machine of a row: pure functions from one entry of the state to the next.

```
NEW ──stamp──▶ INTENT ──created──▶ CREATED
 ▲               │ │ └──refused──▶ FAILED
 │◀───released───┘ parked / recovered
 │                 ▼
 └──none found── PARKED ──one found──▶ ADOPTED,  several ──▶ REVIEW
NEW ──matched by the plan──▶ FOUND ──imported──▶ IMPORTED | OUTDATED,  or CONFLICT
OUTDATED ──updated──▶ UPDATED        RENAMED ──replacing──▶ NEW      VANISHED ──recreating──▶ NEW
CREATED | ADOPTED ──the old endpoint deleted──▶ REPLACED
gone from the source ──deleting──▶ DELETING ──deleted──▶ DELETED,  or back in the source ──remade──▶ NEW
DELETING ──undeleted──▶ UNDELETED ──next run──▶ DELETING
FAILED ──found by the audit──▶ CONFLICT        a row with an endpoint ──doubted by the audit──▶ REVIEW
```

INTENT means that a create of this row may be in flight. It is durable before the first byte leaves, so a row
in any other state has none in flight. DELETING means the same for a deletion. At the start of every run each
row is reset (`taken_up`): only requests that may be in flight and the row's endpoint carry over. No clock,
file or network is used here. The tests explore every interleaving of these same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from plivo_endpoints.provisioning._entries import HELD, KEPT, WANTING, RowState, Spec
from plivo_endpoints.provisioning._marks import UNCERTAIN, merge, unsent
from plivo_endpoints.provisioning._matching import is_made_from

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from plivo_endpoints.provisioning._entries import Entry, Found

SEND_GUARD: Final = 5.0  # seconds during which an intent allows sending
MAX_LOST: Final = 5  # lost creates of one row, each proven to have made nothing, after which it fails


def stamp(entry: Entry, now: float) -> Entry:
    """Record the intent to send a create; durable before the first byte leaves, renewed when too old."""
    _expect(entry, RowState.NEW, RowState.INTENT)
    return evolve(entry, state=RowState.INTENT, epoch=entry.epoch + 1, intent_at=now, sent=entry.wanted)


def is_fresh(entry: Entry, now: float) -> bool:
    """Whether the intent still allows sending; later, another run may have decided that nothing was sent."""
    return entry.intent_at is not None and 0 <= now - entry.intent_at < SEND_GUARD


def created(entry: Entry, endpoint_id: str, made_as: str) -> Entry:
    """Plivo has created the endpoint."""
    _expect(entry, RowState.INTENT)
    return _made(entry, endpoint_id, made_as, RowState.CREATED)


def _made(entry: Entry, endpoint_id: str, made_as: str, state: RowState) -> Entry:
    return evolve(
        entry,
        state=state,
        endpoint_id=endpoint_id,
        made_as=made_as,
        known=entry.sought,
        sent=None,
        reason=None,
    )


def refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused this row because of its contents."""
    _expect(entry, RowState.NEW, RowState.INTENT)
    return evolve(entry, state=RowState.FAILED, reason=reason)


def released(entry: Entry) -> Entry:
    """Nothing was sent, or it was refused for a reason other than the row: it can be sent again."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.NEW, sent=None)


def parked(entry: Entry, reason: str) -> Entry:
    """The response was lost: the endpoint may exist now or soon."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.PARKED, lost=entry.lost + 1, reason=reason)


def recovered(entry: Entry) -> Entry:
    """As `parked`, but the process ended, so the create does not count as lost by Plivo."""
    _expect(entry, RowState.INTENT)
    return evolve(entry, state=RowState.PARKED, reason="the program ended while the create was in progress")


def decided(entry: Entry, candidates: Sequence[Found], alike: Sequence[Found] = ()) -> Entry:
    """Decide on a parked row, after its settling time, by what a walk found.

    `candidates` are the endpoints that its create can have made. Those in `alike` differ from them in the
    alias, or in the number of digits while it is unknown how many Plivo appends: a person decides on them.
    """
    _expect(entry, RowState.PARKED)
    if len(candidates) > 1:
        ids = ", ".join(sorted(found.endpoint_id for found in candidates))
        return evolve(entry, state=RowState.REVIEW, reason=f"several endpoints match it: {ids}")
    if candidates:
        (found,) = candidates
        return _next_of(_made(entry, found.endpoint_id, found.username, RowState.ADOPTED), RowState.ADOPTED)
    if alike:
        names = ", ".join(sorted(f"{each.endpoint_id} ({each.username}, {each.alias!r})" for each in alike))
        reason = f"its lost create may have made endpoint {names}, which does not quite match the request"
        return evolve(entry, state=RowState.REVIEW, reason=reason)
    return _not_made(entry)


def _not_made(entry: Entry) -> Entry:
    """A lost create made nothing."""
    if entry.is_gone and entry.replaces is None:
        return evolve(entry, state=RowState.FORGOTTEN, sent=None)
    if entry.replaces is not None and (entry.is_gone or entry.sought.username != entry.wanted.username):
        # The replacement is no longer wanted, so the row keeps its previous endpoint.
        before = evolve(entry, endpoint_id=entry.replaces, replaces=None, sent=None, reason=None)
        return _next_of(before, RowState.UNCHANGED)
    if entry.lost >= MAX_LOST:
        reason = f"tried {entry.lost} times but not created; last: {entry.reason}"
        return evolve(entry, state=RowState.FAILED, reason=reason)
    return evolve(entry, state=RowState.NEW, sent=None)


def undecidable(entry: Entry, gap: str) -> Entry:
    """No walk could prove that the create of a parked row made nothing; `gap` is the reason."""
    _expect(entry, RowState.PARKED)
    return evolve(entry, state=RowState.REVIEW, reason=f"it is unknown whether it was created: {gap}")


def taken_up(entry: Entry, place: tuple[int, int], wanted: Spec | None) -> Entry | None:
    """Return a row as it enters the next run, or `None` to forget it.

    `place` is its new number and line, `wanted` what the source requests; `None` if it is no longer in it.
    """
    number, line = place
    entry = evolve(entry, number=number, line=line, wanted=wanted or entry.wanted)
    if entry.state in {RowState.INTENT, RowState.PARKED, RowState.DELETING}:
        return entry
    if entry.state is RowState.UNDELETED:
        return evolve(entry, state=RowState.DELETING, reason=None)
    if entry.state is RowState.REVIEW and entry.endpoint_id is None:
        return evolve(entry, state=RowState.PARKED)  # look again for the endpoint of its lost create
    entry = evolve(entry, sent=None, reason=None)
    if entry.replaces is not None and entry.endpoint_id is None:  # its replacement was not created
        entry = evolve(entry, endpoint_id=entry.replaces, replaces=None)
    if entry.has_endpoint:
        return _next_of(entry, RowState.UNCHANGED)
    if entry.is_gone:
        return None
    return evolve(_bare(entry), state=RowState.NEW, lost=min(entry.lost, 1))


def _next_of(entry: Entry, done: RowState) -> Entry:
    """Return a row that has its endpoint in the state of its next action, or in `done` if there is none."""
    known, wanted = entry.known or entry.wanted, entry.wanted
    if entry.is_gone:
        return evolve(entry, state=done)
    if known.username != wanted.username:
        reason = f"its username was edited, {known.username!r} -> {wanted.username!r}: allow it with replace"
        return evolve(entry, state=RowState.RENAMED, reason=reason)
    if known.changes_to(wanted):
        return evolve(entry, state=RowState.OUTDATED)
    return evolve(entry, state=done, known=_agreeing(known, wanted))


def _agreeing(known: Spec, wanted: Spec) -> Spec:
    """Return what is known of an endpoint that matches `wanted` in everything that can be compared."""
    password = wanted.password if known.password == UNCERTAIN else merge(known.password, wanted.password)
    return evolve(wanted, app_id=wanted.app_id or known.app_id, password=password)


def matched(entry: Entry, found: Found, met: Collection[str]) -> Entry:
    """The plan met an endpoint with this row's username; `met` are the ids of all it has met so far."""
    _expect(entry, RowState.NEW, RowState.FOUND, RowState.CONFLICT, RowState.RENAMED)
    if len(met) > 1:
        reason = f"several endpoints match it: {', '.join(sorted(met))}"
    elif entry.has_endpoint:
        reason = f"endpoint {found.endpoint_id} ({found.username}) already has its new username"
    elif found.alias != entry.wanted.alias:
        reason = f"endpoint {found.endpoint_id} ({found.username}) has its username but another alias"
    else:
        return evolve(
            entry,
            state=RowState.FOUND,
            endpoint_id=found.endpoint_id,
            made_as=found.username,
            known=_known_of(entry, found),
            reason=f"endpoint {found.endpoint_id} ({found.username}) matches it: allow it with import",
        )
    return _in_conflict(entry, reason)


def claimed(entry: Entry, found: Found, holder: Entry) -> Entry:
    """The plan met an endpoint that matches this row but belongs to a row no longer in the source."""
    _expect(entry, *WANTING)
    advice = "give the row its old key back, or import the endpoint for the new one"
    if holder.state is RowState.DELETING:
        advice = "its deletion has started: finish it with delete, then run again"
    made_for = f"was made for key {holder.key!r}, which is no longer in the source"
    return _in_conflict(entry, f"endpoint {found.endpoint_id} matches it but {made_for}: {advice}")


def _in_conflict(entry: Entry, reason: str) -> Entry:
    """Leave the decision on a row to a person; the row keeps its endpoint."""
    return evolve(entry if entry.has_endpoint else _bare(entry), state=RowState.CONFLICT, reason=reason)


def contested(entry: Entry, found: Found) -> Entry:
    """The plan met an endpoint that matches this row and others."""
    _expect(entry, *WANTING)
    return _in_conflict(entry, f"endpoint {found.endpoint_id} ({found.username}) matches several rows")


def unmatched(entry: Entry) -> Entry:
    """The plan starts over: the endpoints it met may be gone."""
    _expect(entry, RowState.FOUND, RowState.CONFLICT)
    if entry.has_endpoint:
        return _next_of(entry, RowState.UNCHANGED)
    return evolve(_bare(entry), state=RowState.NEW, reason=None)


def _bare(entry: Entry) -> Entry:
    return evolve(entry, endpoint_id=None, made_as=None, known=None)


def imported(entry: Entry) -> Entry:
    """The matching endpoint is taken over as the row's."""
    _expect(entry, RowState.FOUND)
    return _next_of(evolve(entry, lost=0, reason=None), RowState.IMPORTED)


def settled_on(entry: Entry, found: Found) -> Entry:
    """A person assigned an endpoint to the row."""
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
    # A password cannot be read. It counts as the one in the source, until that is edited.
    password = unsent(entry.wanted.password)
    return evolve(entry.wanted, alias=found.alias, app_id=found.app_id, password=password)


def shown(entry: Entry, found: Found) -> Entry:
    """The account has shown the current fields of the row's endpoint."""
    _expect(entry, *KEPT)
    before = entry.known or entry.wanted
    known = evolve(before, alias=found.alias, app_id=found.app_id)
    seen = evolve(entry, known=known, made_as=found.username)
    if not is_made_from(before.username, found.username):
        reason = f"its endpoint {found.endpoint_id} now has the username {found.username}"
        return evolve(entry, state=RowState.VANISHED, reason=reason)
    if entry.state is RowState.RENAMED:
        return seen
    after = _next_of(seen, RowState.UNCHANGED if entry.state is RowState.OUTDATED else entry.state)
    if after.state is RowState.OUTDATED and entry.state is not RowState.OUTDATED:
        names = [name for name in known.changes_to(before) if name != "password"]
        changes = ", ".join(f"{name} {getattr(before, name)!r} -> {getattr(known, name)!r}" for name in names)
        return evolve(after, reason=f"changed on the account: {changes}")
    return after


def vanished(entry: Entry) -> Entry:
    """The row's endpoint no longer exists."""
    _expect(entry, *KEPT)
    reason = f"its endpoint {entry.endpoint_id} is gone: allow a new one with recreate"
    return evolve(entry, state=RowState.VANISHED, reason=reason)


def looked_for_again(entry: Entry) -> Entry:
    """Forget that the endpoint was missing, so that it is looked for again."""
    _expect(entry, RowState.VANISHED)
    return evolve(entry, state=RowState.UNCHANGED, reason=None)


def recreating(entry: Entry) -> Entry:
    """Create a vanished endpoint again."""
    _expect(entry, RowState.VANISHED)
    return evolve(_bare(entry), state=RowState.NEW, lost=0, reason=None)


def replacing(entry: Entry) -> Entry:
    """Create an endpoint with the new username; the previous one stays until the new one exists.

    A row replaces one endpoint at a time: it waits if an earlier one is still to be deleted.
    """
    _expect(entry, RowState.RENAMED)
    if entry.replaces is not None:
        return entry
    return evolve(
        entry, state=RowState.NEW, replaces=entry.endpoint_id, endpoint_id=None, lost=0, reason=None
    )


def replaced(entry: Entry) -> Entry:
    """The previous endpoint was deleted."""
    done = RowState.REPLACED if entry.state in {RowState.CREATED, RowState.ADOPTED} else entry.state
    return evolve(entry, state=done, replaces=None)


def deleting(entry: Entry) -> Entry:
    """The endpoint of a row no longer in the source is about to be deleted; durable before that."""
    _expect(entry, *HELD, RowState.DELETING)
    return evolve(entry, state=RowState.DELETING)


def deleted(entry: Entry) -> Entry:
    """The endpoint of a row no longer in the source was deleted."""
    return evolve(entry, state=RowState.DELETED, reason=None)


def remade(entry: Entry) -> Entry:
    """The deletion that started before the row came back to the source is finished: the row is a new one."""
    _expect(entry, RowState.DELETING)
    return evolve(_bare(entry), state=RowState.NEW, lost=0)


def given_away(entry: Entry) -> Entry:
    """A person assigned the endpoint of this row, which is no longer in the source, to another row."""
    return evolve(entry, state=RowState.FORGOTTEN, endpoint_id=None, made_as=None, replaces=None)


def undeleted(entry: Entry, reason: str) -> Entry:
    """The responses to a deletion were errors after which it may still take effect."""
    _expect(entry, RowState.DELETING)
    return evolve(entry, state=RowState.UNDELETED, reason=reason)


def not_deleted(entry: Entry, reason: str) -> Entry:
    """An endpoint of a row was not deleted."""
    return evolve(entry, state=RowState.FAILED, reason=reason)


def updating(entry: Entry) -> Entry:
    """An update with a password is about to be sent; durable before that, as passwords cannot be read."""
    _expect(entry, RowState.OUTDATED)
    return evolve(entry, known=evolve(entry.known or entry.wanted, password=UNCERTAIN))


def updated(entry: Entry) -> Entry:
    """Plivo accepted the update."""
    _expect(entry, RowState.OUTDATED)
    before = entry.known or entry.wanted
    changes = before.changes_to(entry.wanted)
    password = (
        entry.wanted.password if "password" in changes else merge(before.password, entry.wanted.password)
    )
    known = evolve(entry.wanted, app_id=entry.wanted.app_id or before.app_id, password=password)
    # A lost create has used the old alias, so it cannot have made an endpoint with the new one.
    lost = 0 if "alias" in changes else entry.lost
    return evolve(entry, state=RowState.UPDATED, known=known, lost=lost, reason=None)


def update_refused(entry: Entry, reason: str) -> Entry:
    """Plivo refused the update."""
    _expect(entry, RowState.OUTDATED)
    return evolve(entry, state=RowState.FAILED, reason=reason)


def doubted(entry: Entry, reason: str) -> Entry:
    """The audit found that a finished row does not have its endpoint."""
    _expect(entry, *HELD)
    return evolve(entry, state=RowState.REVIEW, reason=reason)


def restored(entry: Entry) -> Entry:
    """The audit found that a row under review has its endpoint again."""
    _expect(entry, RowState.REVIEW)
    state = RowState.ADOPTED if entry.epoch else RowState.UNCHANGED
    return evolve(entry, state=state, reason=None)


def found_after_all(entry: Entry, endpoint_ids: Iterable[str]) -> Entry:
    """The audit found endpoints that match a failed row; one of them may be the only one it has."""
    _expect(entry, RowState.FAILED)
    ids = ", ".join(sorted(endpoint_ids))
    return evolve(
        entry, state=RowState.CONFLICT, reason=f"it failed ({entry.reason}), but it may be endpoint {ids}"
    )


def _expect(entry: Entry, *states: RowState) -> None:
    if entry.state not in states:
        raise AssertionError(f"row {entry.number} is in state {entry.state.value}")

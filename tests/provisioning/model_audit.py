"""A model of the audit: a run with events that the protocol does not expect.

The model of a run (`model`) is extended by mismatches at any moment: a create takes effect long after it was
given up, an endpoint vanishes or is changed by somebody else. When all rows are finished, the audit runs
once; then the duplicates that it found are deleted one by one, while mismatches continue. The functions that
decide what the audit concludes and what may be deleted are those of the real code (`_audit`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from attrs import evolve, frozen

from plivo_endpoints._models import Endpoint
from plivo_endpoints._validation import suffix_length
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._audit import Findings, find_mismatch, is_idle_duplicate, is_kept
from plivo_endpoints.provisioning._entries import HELD, OPEN, Entry, Found, RowState
from tests.provisioning.model import LAG, MADE, SUFFIXES, Create, Model, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plivo_endpoints.provisioning._report import Duplicate

Rule = Literal["audit", "asking", "own", "lost", "idle"]
Change = Literal["alias", "name", "phone", "unknown phone"]  # of an endpoint that is there
Mismatch = Literal["late", "by hand", "refused", "gone"] | Change

TOLD: Final = {RowState.REVIEW, RowState.CONFLICT}  # a person is asked to look
CHANGES: Final[tuple[Change, ...]] = get_args(Change)
MISMATCHES: Final[tuple[Mismatch, ...]] = ("late", "by hand", "refused", "gone", *CHANGES)


@frozen
class AuditedWorld(World):
    """Everything there is at one moment; `duplicates` is what is left to delete, once it is audited."""

    mismatches: int = 0
    by_hand: frozenset[int] = frozenset()
    changed: frozenset[tuple[Create, Change]] = frozenset()
    duplicates: tuple[Duplicate, ...] | None = None
    fault: str | None = None

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is; until the audit anything may be."""
        return self.fault

    @property
    def is_done(self) -> bool:
        """Whether every row was made by the run and the audit finds nothing wrong with it."""
        return self.duplicates == () and all(entry.state in MADE for entry in self.entries)

    def found(self, create: Create) -> Found:
        """Return what a create has made and others have made of it."""
        found, changes = super().found(create), self._changes(create)
        username = "somebody1" if "name" in changes else found.username
        return evolve(found, username=username, alias="somebody's" if "alias" in changes else found.alias)

    def get(self, endpoint_id: str | None) -> Endpoint | None:
        """Return what Plivo returns for an id."""
        for create, _ in self.made:
            found, changes = self.found(create), self._changes(create)
            if found.endpoint_id == endpoint_id:
                registered = None if "unknown phone" in changes else "phone" in changes
                return Endpoint(
                    endpoint_id=found.endpoint_id,
                    username=found.username,
                    alias=found.alias,
                    sip_registered=registered,
                )
        return None

    def owned(self, row: int, *, listed: bool) -> set[str | None]:
        """Return the endpoints that are a row's in truth."""
        return {
            str(create.number)
            for create, since in self.made
            if create.row == row
            if not self._changes(create) & {"alias", "name"}
            if since <= self.now or not listed
        }

    def _changes(self, create: Create) -> set[Change]:
        return {change for changed, change in self.changed if changed == create}


class AuditModel(Model):
    """The protocol, the audit and the deleting, less the rule that is taken away."""

    def __init__(
        self,
        *,
        without: Rule | None = None,
        kinds: tuple[Mismatch, ...] = MISMATCHES,
        mismatches: int = 2,
        ticks: int = 5,
    ) -> None:
        super().__init__(rows=1, workers=1, troubles=0, ticks=ticks)
        self._lacks = without
        self._kinds = kinds
        self.begin = [
            AuditedWorld(
                each.entries, each.workers, made=each.made, number=each.number, mismatches=mismatches
            )
            for each in self.begin
        ]

    def _next(self, world: World) -> Iterator[World]:
        assert isinstance(world, AuditedWorld)
        if world.duplicates == ():  # nothing more is done
            return
        if world.mismatches:
            yield from self._on_mismatch(evolve(world, mismatches=world.mismatches - 1))
        if world.duplicates:
            yield self._pruned(world, *world.duplicates)
        elif world.duplicates is None:
            yield from super()._next(world)
            yield from self._refused(world, has_made=False)
            if not any(entry.state in OPEN for entry in world.entries):
                yield self._audited(world)

    def _on_mismatch(self, world: AuditedWorld) -> Iterator[World]:
        for made in world.made:
            if "gone" in self._kinds:
                yield evolve(world, made=tuple(each for each in world.made if each != made))
            for change in CHANGES:
                if change in self._kinds:
                    yield evolve(world, changed=world.changed | {(made[0], change)})
        if world.duplicates is not None:
            return
        for create in world.sent if "late" in self._kinds else ():
            others = tuple(each for each in world.sent if each != create)
            yield evolve(world, sent=(*others, evolve(create, until=self._ticks)))
        if "by hand" in self._kinds:
            create = Create(world.number + 1, 0, 0)
            yield evolve(
                world,
                number=create.number,
                by_hand=world.by_hand | {create.number},
                made=(*world.made, (create, world.now + LAG)),
            )
        if "refused" in self._kinds:
            yield from self._refused(world, has_made=True)

    def _refused(self, world: AuditedWorld, *, has_made: bool) -> Iterator[World]:
        """Let a create be refused that has made nothing and will not; or, which is a mismatch, that has."""
        creates = [create for create, _ in world.made] if has_made else world.sent
        for place, worker in enumerate(world.workers):
            if worker.entry and worker.create in {create.number for create in creates}:
                sent = tuple(create for create in world.sent if create.number != worker.create)
                after = states.refused(worker.entry, "refused")
                yield self._save(evolve(world, sent=sent), place, worker.row, worker.entry, after)

    def _audited(self, world: AuditedWorld) -> AuditedWorld:
        """Audit it, judge what came of that, and let time stand still."""
        after, duplicates = self._examined(world) if self._lacks != "audit" else (world.entries, ())
        faults = (_fault(world, row, entry.state, duplicates) for row, entry in enumerate(after))
        still = evolve(world, now=self._ticks, sent=(), entries=after, duplicates=duplicates)
        return evolve(still, fault=next(filter(None, faults), None))

    def _examined(self, world: AuditedWorld) -> tuple[tuple[Entry, ...], tuple[Duplicate, ...]]:
        findings = Findings(len(world.entries), SUFFIXES)
        for found in world.listed:
            for entry in world.entries:
                if suffix_length(entry.sought.username, found.username) in SUFFIXES:
                    findings.add(entry, found)
        become = {before.number: after for before, after in findings.changes_of_failed()}
        for entry in world.entries:
            if entry.state in HELD and findings.is_unseen(entry) and self._lacks != "asking":
                reason = find_mismatch(entry, world.get(entry.endpoint_id))
                become |= {entry.number: states.doubted(entry, reason)} if reason else {}
        doubted = {entry.key for entry in world.entries if entry.number in become}
        return tuple(become.get(e.number, e) for e in world.entries), findings.duplicates(doubted)

    def _pruned(self, world: AuditedWorld, duplicate: Duplicate, *rest: Duplicate) -> AuditedWorld:
        """Delete a duplicate, if it may be."""
        (entry,) = (entry for entry in world.entries if entry.key == duplicate.key)
        may_go = is_kept(entry, duplicate) or (self._lacks == "lost" and entry.endpoint_id == duplicate.kept)
        has_own = self._lacks == "own" or find_mismatch(entry, world.get(duplicate.kept)) is None
        endpoint = world.get(duplicate.endpoint_id)
        world = evolve(world, duplicates=rest)
        if endpoint is None or not (may_go and has_own):
            return world
        is_idle = is_idle_duplicate(duplicate, endpoint) or self._lacks == "idle"
        return _deleted(world, duplicate) if is_idle else world


def _deleted(world: AuditedWorld, duplicate: Duplicate) -> AuditedWorld:
    (made,) = (made for made in world.made if str(made[0].number) == duplicate.endpoint_id)
    after = evolve(world, made=tuple(each for each in world.made if each != made))
    if made[0] in {create for create, _ in world.changed}:
        return evolve(after, fault="one in use deleted")
    if made[0].number in world.by_hand and not any(entry.lost for entry in world.entries):
        return evolve(after, fault="somebody else's deleted")
    is_left = duplicate.kept in after.owned(made[0].row, listed=False)
    return after if is_left else evolve(after, fault="the only one deleted")


def _fault(world: AuditedWorld, row: int, become: RowState, duplicates: tuple[Duplicate, ...]) -> str | None:
    """Return what is wrong with a row after the audit: what it does not tell, or tells without reason.

    It cannot tell of what is not listed yet, but for the endpoint that the state holds.
    """
    entry, nothing = world.entries[row], set[str | None]()
    held = {entry.endpoint_id} if entry.state in HELD else nothing
    owned = world.owned(row, listed=True) | (held & world.owned(row, listed=False))
    is_right = held <= owned if held else not owned
    many = owned - held if held and is_right else nothing
    told = {duplicate.endpoint_id for duplicate in duplicates if duplicate.key == entry.key}
    if many - told or not (is_right or become in TOLD):
        return "silently wrong"
    if told - many or (is_right and become is not entry.state):
        return "false alarm"
    return None

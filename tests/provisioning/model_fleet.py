"""A model of a fleet over time: its source is edited between runs, and others work in the account too.

A life is a run of one process. It may be killed between any two of its steps, and the next one uses the same
source or an edited one. Creates take effect at once, late, or never, and the list shows them even later. The
model of a run (`model`) proves that the settling time suffices, so here a life decides on lost creates when
nothing is in flight any more. At the same time a colleague creates endpoints with confusable names, and
changes or deletes those of the fleet. The transitions of rows are those of the real code (`_transitions`);
the model covers when they are called, and with what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import evolve, field, frozen

from plivo_endpoints._models import Endpoint as Shown
from plivo_endpoints._validation import suffix_length
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._audit import Findings, find_mismatch, is_idle_duplicate, is_kept
from plivo_endpoints.provisioning._entries import (
    HELD,
    KEPT,
    NEEDS_PERSON,
    OPEN,
    Entry,
    Found,
    RowState,
    Spec,
)
from plivo_endpoints.provisioning._matching import is_made_from, may_be
from tests.provisioning.exploring import Explored, explore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plivo_endpoints.provisioning._report import Duplicate

Rule = Literal[
    "keys",
    "edit: found by what was sent",
    "holders",
    "suffix length",
    "drift",
    "replace: record first",
    "replace: one at a time",
    "replace: while it is there",
    "delete: only what the state holds",
    "delete: note it first",
    "delete: finish it",
    "delete: keep the intent",
    "gone: settle first",
    "state lock",
    "account lock",
]
Phase = Literal["begun", "at work", "stamped", "sent", "updated", "replaced", "doomed", "deleted"]
Source = tuple[Spec | None, ...]  # what each key asks for; `None` where it is gone

SUFFIX: Final = "1"  # the digits that are appended to usernames
IN_DOUBT: Final = {RowState.INTENT, RowState.PARKED}
LOOKED_FOR: Final = {RowState.NEW, RowState.FOUND, RowState.CONFLICT, RowState.RENAMED}
TO_LOOK_AT: Final = {*NEEDS_PERSON, RowState.UNDELETED, RowState.FAILED, RowState.REVIEW}
LOST: Final = {RowState.VANISHED, RowState.REVIEW}  # it may have its endpoint no more
BY_HAND: Final = "by hand"

FIRST: Final = Spec(username="a", alias="x")
OTHER_ALIAS: Final = Spec(username="a", alias="y")
OTHER_NAME: Final = Spec(username="b", alias="x")
THIRD_NAME: Final = Spec(username="c", alias="x")


@frozen
class Endpoint:
    """An endpoint of the account; `key` is that of the row it was made for, `None` if a colleague made it."""

    number: int
    key: str | None
    username: str
    alias: str
    is_listed: bool = False

    @property
    def found(self) -> Found:
        """What Plivo shows of it."""
        return Found(str(self.number), self.username, self.alias)


@frozen
class Create:
    """A create that was sent and may still land."""

    number: int
    key: str
    spec: Spec


@frozen
class Process:
    """What a run has in mind; all of it is gone when it is killed."""

    allowed: bool  # to replace, to recreate and to delete
    phase: Phase = "begun"
    before: Entry | None = None
    create: int = 0

    @property
    def entry(self) -> Entry:
        """The entry that it works on."""
        assert self.before is not None
        return self.before


@frozen
class Known:
    """A state: its rows, and what it has noted of the run as a whole."""

    entries: tuple[Entry, ...] = ()
    source: Source = ()
    planned: bool | None = None
    done: bool = False

    def of(self, key: str | None) -> Entry | None:
        """Return the entry of a key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def holds(self, endpoint_id: str) -> list[Entry]:
        """Return the entries that this is the endpoint of, or was before it is replaced."""
        return [entry for entry in self.entries if endpoint_id in _ids(entry)]

    def with_entry(self, after: Entry) -> Known:
        """Return it with what an entry has become; the words about it do not matter."""
        plain = evolve(after, reason=None)
        return evolve(self, entries=tuple(plain if e.key == after.key else e for e in self.entries))


def _ids(entry: Entry) -> set[str | None]:
    return {entry.endpoint_id if entry.has_endpoint else None, entry.replaces} - {None}


@frozen
class World:
    """Everything there is at one moment."""

    source: Source
    known: tuple[Known, ...]
    processes: tuple[Process | None, ...]
    endpoints: tuple[Endpoint, ...] = ()
    sent: tuple[Create, ...] = ()
    deletions: tuple[str, ...] = ()  # that were sent by a process which is gone, and may still land
    number: int = 0
    edits: int = 0
    kills: int = 0
    losses: int = 0
    visits: int = 0  # of the colleague
    is_touched: bool = False  # the colleague did something since the account was looked at
    is_steady: bool = False  # a life with every permission came to its end
    fault: str | None = field(default=None)

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is."""
        return self.fault or next(filter(None, map(self._wrong_with, self._keys)), None) or self._adopted

    @property
    def is_done(self) -> bool:
        """Whether a fleet was edited as often as it may be, and is as the source says."""
        entries = [entry for known in self.known for entry in known.entries if not entry.is_gone]
        return self.is_steady and not self.edits and bool(entries) and all(e.state in HELD for e in entries)

    @property
    def _keys(self) -> tuple[str, ...]:
        return tuple(str(place) for place in range(len(self.source)))

    def _wrong_with(self, key: str) -> str | None:
        own = [entry for known in self.known if (entry := known.of(key))]
        replaced = {entry.replaces for entry in own}
        made = [each for each in self.endpoints if self._owner(each) == key]
        if len([each for each in made if str(each.number) not in replaced]) > 1:
            return "two endpoints of one key"
        ids = {str(each.number) for each in made} | {
            str(each.number) for each in self.sent if each.key == key
        }
        held = {id_ for entry in own for id_ in _ids(entry)}
        if not ids <= held and not any(map(_is_in_doubt, own)):
            return "two endpoints of one key" if len(own) > 1 else "one that nobody knows of"
        return None

    def _owner(self, endpoint: Endpoint) -> str | None:
        holders = [each for known in self.known for each in known.holds(str(endpoint.number))]
        return holders[0].key if holders else endpoint.key

    @property
    def _adopted(self) -> str | None:
        for known in self.known:
            for endpoint in self.endpoints:
                holders = known.holds(str(endpoint.number))
                if holders and endpoint.key is None:
                    return "a stranger's taken"
                if len(holders) > 1:
                    return "one endpoint for two keys"
        return None

    def get(self, endpoint_id: str | None) -> Endpoint | None:
        """Return what Plivo returns for an id."""
        return next((each for each in self.endpoints if str(each.number) == endpoint_id), None)

    def with_known(self, place: int, known: Known) -> World:
        """Return it with what the state of a process has become."""
        index = place % len(self.known)
        return evolve(self, known=(*self.known[:index], known, *self.known[index + 1 :]))

    def with_process(self, place: int, process: Process | None) -> World:
        """Return it with what a process has in mind now."""
        return evolve(self, processes=(*self.processes[:place], process, *self.processes[place + 1 :]))

    def deleted(self, endpoint: Endpoint) -> World:
        """Return it after the fleet has deleted an endpoint; judge that."""
        after = evolve(self, endpoints=tuple(each for each in self.endpoints if each != endpoint))
        holders = [entry for known in self.known for entry in known.holds(str(endpoint.number))]
        if endpoint.key is None:
            return evolve(after, fault="a stranger's deleted")
        for holder in holders:
            if holder.replaces == str(endpoint.number):
                if after.get(holder.endpoint_id) is None and not self.is_touched:
                    return evolve(after, fault="the old one deleted before there is a new one")
            elif not holder.is_gone and holder.state is not RowState.DELETING:
                return evolve(after, fault="one in use deleted")
        return after


def _is_in_doubt(entry: Entry) -> bool:
    undecided = entry.state is RowState.REVIEW and entry.endpoint_id is None
    return entry.state in IN_DOUBT or undecided


class FleetModel:
    """The protocol, less the rule that is taken away."""

    def __init__(
        self,
        *,
        sources: tuple[Source, ...],
        without: Rule | None = None,
        runs: int = 1,
        own_states: bool = False,
        edits: int = 2,
        kills: int = 1,
        losses: int = 1,
        visits: int = 1,
    ) -> None:
        self._sources = sources
        self._without = without
        self._lags = not own_states  # what a state of its own must see, it has to be shown
        self._suffixes = (1, 2) if without == "suffix length" else (1,)
        self.begin = World(
            sources[0],
            (Known(),) * (runs if own_states else 1),
            (None,) * runs,
            edits=edits,
            kills=kills,
            losses=losses,
            visits=visits,
        )

    def explore(self) -> Explored:
        """Visit every world."""
        return explore([self.begin], self.following)

    def following(self, world: World) -> Iterator[World]:
        """Return what may come next."""
        yield from self._of_the_account(world)
        if not any(world.processes):
            yield from self._between_lives(world)
        for place, process in enumerate(world.processes):
            if process is None:
                yield from self._begun(world, place)
                continue
            if world.kills:
                killed = evolve(world.with_process(place, None), kills=world.kills - 1)
                yield killed
                if process.phase == "doomed":
                    yield evolve(killed, deletions=(process.entry.endpoint_id or "",))
            yield from self._step(world, place, process)

    def _of_the_account(self, world: World) -> Iterator[World]:
        for create in world.sent:
            left = evolve(world, sent=tuple(each for each in world.sent if each != create))
            if world.losses:  # it never lands
                yield evolve(left, losses=world.losses - 1)
            yield self._landed(left, create)
        for endpoint_id in world.deletions:
            yield evolve(_gone_from(world, endpoint_id), deletions=())
        for endpoint in world.endpoints:
            if not endpoint.is_listed:
                yield _changed(world, endpoint, evolve(endpoint, is_listed=True))

    def _landed(self, world: World, create: Create) -> World:
        made = Endpoint(
            create.number,
            create.key,
            f"{create.spec.username}{SUFFIX}",
            create.spec.alias,
            is_listed=not self._lags,
        )
        return evolve(world, endpoints=(*world.endpoints, made))

    def _between_lives(self, world: World) -> Iterator[World]:
        if world.edits:
            for source in self._sources:
                if source != world.source:
                    yield evolve(world, source=source, edits=world.edits - 1, is_steady=False)
        if not world.visits:
            return
        visited = evolve(world, visits=world.visits - 1, number=world.number + 1, is_steady=False)
        for name, alias in (("a11", "x"), ("a1", BY_HAND)):
            stranger = Endpoint(visited.number, None, name, alias, is_listed=True)
            yield evolve(visited, endpoints=(*visited.endpoints, stranger))
        touched = evolve(world, visits=world.visits - 1, is_touched=True, is_steady=False)
        for endpoint in world.endpoints:
            yield evolve(touched, endpoints=tuple(each for each in world.endpoints if each != endpoint))
            if any(known.holds(str(endpoint.number)) for known in world.known):
                yield _changed(touched, endpoint, evolve(endpoint, alias=BY_HAND))

    def _begun(self, world: World, place: int) -> Iterator[World]:
        """Begin a life, if no other holds what it has to hold, and take up the source."""
        shares = len(world.known) == 1
        may = self._without == ("state lock" if shares else "account lock")
        if any(world.processes) and not may:
            return
        known = self._attached(world.known[place % len(world.known)], world.source)
        for allowed in (False, True):
            yield evolve(world.with_known(place, known), is_steady=False).with_process(
                place, Process(allowed, "at work" if known.planned else "begun")
            )

    def _attached(self, known: Known, source: Source) -> Known:
        if known.planned is None:  # nothing was sent yet
            return self._taken_up(Known(), source)
        asked = any(entry.state in TO_LOOK_AT for entry in known.entries if entry.is_counted)
        if known.source == source and not known.done and not asked:
            return known
        if known.source != source and self._without == "keys":  # an edited source is another fleet
            return self._taken_up(Known(), source)
        return self._taken_up(known, source)

    def _taken_up(self, known: Known, source: Source) -> Known:
        entries: list[Entry | None] = []
        for place, wanted in enumerate(source, 1):
            before = known.of(str(place - 1))
            if before is None:
                if wanted is not None:
                    entries.append(Entry(number=place, line=0, key=str(place - 1), wanted=wanted))
            elif wanted is None and before.state in IN_DOUBT and self._without == "gone: settle first":
                entries.append(None)
            else:
                if before.state is RowState.DELETING and self._without == "delete: finish it":
                    before = evolve(before, state=RowState.UNCHANGED)  # as if it were not to be deleted
                entries.append(states.taken_up(before, (place if wanted else -place, 0), wanted))
        planned = None if known.planned is None else False
        return Known(tuple(filter(None, entries)), source, planned)

    def _step(self, world: World, place: int, process: Process) -> Iterator[World]:
        after: Callable[[World, int, Process], Iterator[World]] = {
            "begun": self._planned,
            "at work": self._at_work,
            "stamped": self._sent,
            "sent": self._answered,
            "updated": self._updated,
            "replaced": self._replaced,
            "doomed": self._doomed,
            "deleted": self._deleted,
        }[process.phase]
        yield from after(world, place, process)

    def _planned(self, world: World, place: int, process: Process) -> Iterator[World]:
        """Compare the rows with the account, and note that it is done; killed between, it is done again."""
        known = self._compared(world, world.known[place % len(world.known)])
        looked = evolve(world.with_known(place, known), is_touched=False)
        if world.kills:
            yield evolve(looked.with_process(place, None), kills=world.kills - 1)
        yield looked.with_known(place, evolve(known, planned=True)).with_process(
            place, evolve(process, phase="at work")
        )

    def _compared(self, world: World, known: Known) -> Known:
        for entry in known.entries:
            if entry.state in {RowState.FOUND, RowState.CONFLICT} and not entry.is_gone:
                known = known.with_entry(states.unmatched(entry))
        if self._without != "drift":
            known = _shown(world, known)
        met: dict[str, set[str]] = {}
        for found in (each.found for each in world.endpoints if each.is_listed):
            for entry, holder in self._matches(known, found):
                if entry.state not in LOOKED_FOR or (holder and not holder.is_gone):
                    continue
                if found.endpoint_id in {entry.endpoint_id, entry.replaces}:
                    continue
                met.setdefault(entry.key, set()).add(found.endpoint_id)
                known = known.with_entry(
                    states.claimed(entry, found, holder)
                    if holder
                    else states.matched(entry, found, met[entry.key])
                )
        return known

    def _matches(self, known: Known, found: Found) -> list[tuple[Entry, Entry | None]]:
        """Return the rows that an endpoint can be by its name, each with the row whose it is if another's."""
        rows = [
            entry
            for entry in known.entries
            if (not entry.is_gone or entry.sent is not None)
            and suffix_length(entry.sought.username, found.username) in self._suffixes
        ]
        holders = known.holds(found.endpoint_id) if self._without != "holders" else []
        return [(row, next((each for each in holders if each.key != row.key), None)) for row in rows]

    def _at_work(self, world: World, place: int, process: Process) -> Iterator[World]:
        """Do the next thing: what is allowed, then creates and updates, then decisions, then deletions."""
        known = world.known[place % len(world.known)]
        if remade := self._remade(world, place, known):
            yield remade
            return
        if process.allowed and any(entry.state is RowState.RENAMED for entry in known.entries):
            finishing = self._finishing(world, place, process)
            if finishing and self._without != "replace: one at a time":
                yield finishing
                return
        permitted = self._permitted(known, allowed=process.allowed)
        if permitted != known:
            yield world.with_known(place, permitted)
        else:
            yield from self._working(world, place, process)

    def _remade(self, world: World, place: int, known: Known) -> World | None:
        """Return it after the next step to finish what was begun to be deleted of a row that is back."""
        for entry in known.entries:
            if entry.state is RowState.DELETING and not entry.is_gone:
                if world.get(entry.endpoint_id):
                    return _gone_from(world, entry.endpoint_id)
                remade = known.with_entry(states.remade(entry))
                return world.with_known(place, self._compared(world, remade))
        return None

    def _working(self, world: World, place: int, process: Process) -> Iterator[World]:
        known = world.known[place % len(world.known)]
        todo = [entry for entry in known.entries if entry.state in OPEN]
        for entry in todo:
            if entry.state is RowState.NEW:
                after = states.stamp(entry, 0.0)
                yield self._save(world, place, entry, after, evolve(process, phase="stamped", before=after))
                if self._without == "replace: record first" and world.get(entry.replaces):
                    yield _gone_from(world, entry.replaces)
            elif entry.state is RowState.OUTDATED:
                yield self._update(world, place, evolve(process, phase="updated", before=entry))
        if not any(entry.state in {RowState.NEW, RowState.OUTDATED} for entry in todo):
            if not todo:
                yield from self._ending(world, place, process)
            elif not world.sent and all(each.is_listed for each in world.endpoints):
                yield world.with_known(place, self._reconciled(world, known))

    def _permitted(self, known: Known, *, allowed: bool) -> Known:
        for entry in known.entries:
            if entry.state is RowState.INTENT:  # of a life before
                known = known.with_entry(states.recovered(entry))
            if allowed and entry.state is RowState.RENAMED:
                is_free = self._without == "replace: one at a time"
                known = known.with_entry(states.replacing(evolve(entry, replaces=None) if is_free else entry))
            if allowed and entry.state is RowState.VANISHED and not entry.is_gone:
                known = known.with_entry(states.recreating(entry))
        return known

    def _update(self, world: World, place: int, process: Process) -> World:
        endpoint = world.get(process.entry.endpoint_id)
        if endpoint is None:
            refused = states.update_refused(process.entry, "not found")
            return self._save(world, place, process.entry, refused, evolve(process, phase="at work"))
        if endpoint.key is None:
            return evolve(world, fault="a stranger's updated")
        updated = evolve(endpoint, alias=process.entry.wanted.alias)
        return _changed(world, endpoint, updated).with_process(place, process)

    def _sent(self, world: World, place: int, process: Process) -> Iterator[World]:
        create = Create(world.number + 1, process.entry.key, process.entry.wanted)
        left = evolve(world, number=create.number, sent=(*world.sent, create))
        yield left.with_process(place, evolve(process, phase="sent", create=create.number))

    def _answered(self, world: World, place: int, process: Process) -> Iterator[World]:
        entry, then = process.entry, evolve(process, phase="at work", before=None, create=0)
        made = world.get(str(process.create))
        if made:
            after = states.created(entry, str(process.create), made.username)
            yield self._save(world, place, entry, after, then)
        is_dropped = not made and not any(create.number == process.create for create in world.sent)
        if is_dropped:
            yield self._save(world, place, entry, states.refused(entry, "refused"), then)
        if world.losses or is_dropped:
            parked = self._save(world, place, entry, states.parked(entry, "lost"), then)
            yield evolve(parked, losses=world.losses - (not is_dropped))

    def _updated(self, world: World, place: int, process: Process) -> Iterator[World]:
        then = evolve(process, phase="at work", before=None)
        yield self._save(world, place, process.entry, states.updated(process.entry), then)

    def _reconciled(self, world: World, known: Known) -> Known:
        taken: set[str] = set()
        before = known
        for entry in sorted(known.entries, key=lambda each: each.number):
            if entry.state is not RowState.PARKED:
                continue
            row = entry
            if self._without == "edit: found by what was sent":
                row = evolve(entry, sent=entry.wanted)
            found = [
                each.found
                for each in world.endpoints
                if each.is_listed and str(each.number) not in taken
                for matched, holder in self._matches(before.with_entry(row), each.found)
                if matched.key == row.key and not holder and str(each.number) != row.replaces
                if may_be(row, each.found, self._suffixes)
            ]
            after = states.decided(row, found)
            taken |= {after.endpoint_id} if after.endpoint_id else set()
            known = known.with_entry(after)
        return known

    def _ending(self, world: World, place: int, process: Process) -> Iterator[World]:
        """Delete what was replaced, then what is gone if that is allowed; then it is done."""
        known = world.known[place % len(world.known)]
        if finishing := self._finishing(world, place, process):
            yield finishing
            return
        if process.allowed:
            for entry in known.entries:
                if entry.is_gone and entry.state in {*HELD, RowState.DELETING}:
                    after = states.deleting(entry)
                    if self._without == "delete: note it first":
                        after = entry
                    then = evolve(process, phase="doomed", before=after)
                    yield self._save(world, place, entry, after, then)
                    return
        if self._without != "drift":
            known = _audited(world, known)
        ended = world.with_known(place, evolve(known, done=True)).with_process(place, None)
        yield evolve(ended, is_steady=process.allowed, fault=_left_wrong(world, known))

    def _finishing(self, world: World, place: int, process: Process) -> World | None:
        """Return it after an endpoint was deleted that was replaced."""
        for entry in world.known[place % len(world.known)].entries:
            is_there = entry.state not in LOST or self._without == "replace: while it is there"
            if entry.replaces and entry.endpoint_id and is_there:
                then = evolve(process, phase="replaced", before=entry)
                return _gone_from(world, entry.replaces).with_process(place, then)
        return None

    def _delete_gone(self, world: World, entry: Entry) -> World:
        after = _gone_from(world, entry.endpoint_id)
        if self._without == "delete: only what the state holds":  # but what has its name
            for each in world.endpoints:
                if is_made_from(entry.wanted.username, each.username):
                    after = _gone_from(after, str(each.number))
        return after

    def _doomed(self, world: World, place: int, process: Process) -> Iterator[World]:
        then = evolve(process, phase="deleted")
        yield self._delete_gone(world, process.entry).with_process(place, then)
        if world.losses and process.entry.state is RowState.DELETING:  # the response is an error
            lost = evolve(world, losses=world.losses - 1, deletions=(process.entry.endpoint_id or "",))
            is_kept = self._without != "delete: keep the intent"
            after = (states.undeleted if is_kept else states.not_deleted)(process.entry, "unknown")
            yield self._save(lost, place, process.entry, after, evolve(process, phase="at work", before=None))

    def _replaced(self, world: World, place: int, process: Process) -> Iterator[World]:
        then = evolve(process, phase="at work", before=None)
        yield self._save(world, place, process.entry, states.replaced(process.entry), then)

    def _deleted(self, world: World, place: int, process: Process) -> Iterator[World]:
        then = evolve(process, phase="at work", before=None)
        yield self._save(world, place, process.entry, states.deleted(process.entry), then)

    @staticmethod
    def _save(world: World, place: int, before: Entry, after: Entry, then: Process) -> World:
        """Write an entry if it still is as it was; a process that finds it otherwise ends."""
        known = world.known[place % len(world.known)]
        now = known.of(before.key)
        if now is None or (now.state, now.epoch) != (before.state, before.epoch):
            return world.with_process(place, None)
        return world.with_known(place, known.with_entry(after)).with_process(place, then)


def _changed(world: World, before: Endpoint, after: Endpoint) -> World:
    return evolve(world, endpoints=tuple(after if each == before else each for each in world.endpoints))


def _gone_from(world: World, endpoint_id: str | None) -> World:
    endpoint = world.get(endpoint_id)
    return world.deleted(endpoint) if endpoint else world


def _shown(world: World, known: Known) -> Known:
    """Look at the endpoints that rows have; what the list does not show is asked for by id."""
    for entry in known.entries:
        if entry.state in KEPT and not entry.is_gone:
            endpoint = world.get(entry.endpoint_id)
            after = states.shown(entry, endpoint.found) if endpoint else states.vanished(entry)
            known = known.with_entry(after)
    return known


def _audited(world: World, known: Known) -> Known:
    """Look at them once more: what a row took back only now was not looked at before."""
    for entry in known.entries:
        if entry.state in HELD and not entry.is_gone:
            endpoint = world.get(entry.endpoint_id)
            if endpoint is None or endpoint.alias != entry.sought.alias:
                known = known.with_entry(states.doubted(entry, "not as it was"))
    return known


def _left_wrong(world: World, known: Known) -> str | None:
    """Return what a run that came to its end has left otherwise than it says."""
    for entry in known.entries:
        if entry.is_gone or entry.state not in HELD or world.is_touched:
            continue
        endpoint = world.get(entry.endpoint_id)
        if endpoint is None:
            return "one that is not there"
        is_right = is_made_from(entry.wanted.username, endpoint.username)
        if not is_right or endpoint.alias != entry.wanted.alias:
            return "one that is otherwise than wanted"
    return None


ONE: Final[tuple[Source, ...]] = ((FIRST,), (OTHER_ALIAS,), (OTHER_NAME,), (THIRD_NAME,), (None,))
GOING: Final[tuple[Source, ...]] = ((FIRST,), (None,))
NAMES: Final[tuple[Source, ...]] = ((FIRST,), (OTHER_NAME,), (THIRD_NAME,))
TWO: Final[tuple[Source, ...]] = ((FIRST, OTHER_NAME), (OTHER_NAME, FIRST), (None, FIRST))


@frozen
class Deleting:
    """One `delete_duplicates`: the endpoint that its state holds, and what is left to delete."""

    entry: Entry
    audited: bool = False
    duplicates: tuple[Duplicate, ...] = ()
    is_sure: bool = False  # the kept one was read, and the next request deletes


@frozen
class DuplicatesWorld:
    """One row in two states, several endpoints that can be it, and what is being deleted."""

    deleting: tuple[Deleting, ...]
    endpoints: frozenset[int]
    visits: int = 1  # of a colleague, who deletes an endpoint
    fault: str | None = None

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is."""
        return self.fault

    @property
    def is_done(self) -> bool:
        """Whether one endpoint is left, the smallest id, and nobody else has deleted any."""
        return self.visits == 1 and set(self.endpoints) == {1}

    def get(self, number: str | None) -> Shown | None:
        """Return what Plivo returns for an id."""
        if number is None or int(number) not in self.endpoints:
            return None
        return Shown(endpoint_id=number, username=f"a{SUFFIX}", alias="x", sip_registered=False)

    def having(self, place: int, deleting: Deleting) -> DuplicatesWorld:
        """Return it with how far one of those who delete has come."""
        return evolve(self, deleting=(*self.deleting[:place], deleting, *self.deleting[place + 1 :]))


DuplicatesRule = Literal["one order", "read again"]


class DuplicatesModel:
    """Two machines, each with a state of its own, delete duplicates at once; less a rule."""

    def __init__(self, *, endpoints: int = 4, without: DuplicatesRule | None = None) -> None:
        self._without = without
        numbers = range(1, endpoints + 1)
        self.begin = [
            DuplicatesWorld((Deleting(_holding(one)), Deleting(_holding(other))), frozenset(numbers))
            for one in numbers
            for other in numbers
        ]

    def explore(self) -> Explored:
        """Visit every world."""
        return explore(self.begin, self.following)

    def following(self, world: DuplicatesWorld) -> Iterator[DuplicatesWorld]:
        """Return what may come next."""
        if world.visits and not any(deleting.is_sure for deleting in world.deleting):
            for number in world.endpoints:
                yield evolve(world, endpoints=world.endpoints - {number}, visits=world.visits - 1)
        for place, deleting in enumerate(world.deleting):
            if not deleting.audited:
                yield world.having(place, self._audited(world, deleting))
            elif deleting.is_sure:
                yield self._deleted(world, place, deleting)
            elif deleting.duplicates:
                yield world.having(place, self._looked(world, deleting))

    @staticmethod
    def _audited(world: DuplicatesWorld, deleting: Deleting) -> Deleting:
        findings = Findings(1, (len(SUFFIX),))
        for number in sorted(world.endpoints):
            findings.add(deleting.entry, Found(str(number), f"a{SUFFIX}", "x"))
        is_doubted = find_mismatch(deleting.entry, world.get(deleting.entry.endpoint_id)) is not None
        doubted = {deleting.entry.key} if is_doubted else set[str]()
        return evolve(deleting, audited=True, duplicates=findings.duplicates(doubted))

    def _looked(self, world: DuplicatesWorld, deleting: Deleting) -> Deleting:
        duplicate, *rest = deleting.duplicates
        may_go = is_kept(deleting.entry, duplicate) or self._without == "one order"
        has_own = (
            self._without == "read again" or find_mismatch(deleting.entry, world.get(duplicate.kept)) is None
        )
        endpoint = world.get(duplicate.endpoint_id)
        if endpoint and may_go and has_own and is_idle_duplicate(duplicate, endpoint):
            return evolve(deleting, is_sure=True)
        return evolve(deleting, duplicates=tuple(rest))

    @staticmethod
    def _deleted(world: DuplicatesWorld, place: int, deleting: Deleting) -> DuplicatesWorld:
        duplicate, *rest = deleting.duplicates
        left = world.endpoints - {int(duplicate.endpoint_id)}
        after = world.having(place, evolve(deleting, duplicates=tuple(rest), is_sure=False))
        return evolve(after, endpoints=left, fault=None if left else "the last one deleted")


def _holding(number: int) -> Entry:
    entry = Entry(number=1, line=0, key="0", wanted=FIRST, known=FIRST, state=RowState.ADOPTED)
    return evolve(entry, epoch=1, lost=1, endpoint_id=str(number), made_as=f"a{SUFFIX}")

"""A model of provisioning: every order in which things can happen to one or two rows, within bounds.

Workers share a state without any lock, may be halted at any point for any time, and may crash. A create that
was sent takes effect at once, late, or never, and is listed even later. The transitions of rows are those of
the real code (`_transitions`); the model covers when they are called, and with what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import evolve, frozen

from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import HELD, Entry, Found, RowState, Spec
from plivo_endpoints.provisioning._matching import may_be
from tests.provisioning.exploring import Explored, explore

if TYPE_CHECKING:
    from collections.abc import Iterator

Rule = Literal["intent first", "guard", "park", "settle", "swap", "restart", "state", "unique", "plan"]

SUFFIXES: Final = (1,)  # digits appended to usernames
TICK: Final = 2.5  # seconds: an intent is fresh in the tick it was made in and in the next
LANDING: Final = 1  # ticks that a create may take to land
LAG: Final = 1  # ticks until it is listed
SETTLE: Final = 3  # so many after its intent, whatever was sent has landed and is listed
MADE: Final = {RowState.CREATED, RowState.ADOPTED}


@frozen
class Worker:
    """What a process has in mind; all of it is gone when it crashes."""

    phase: Literal["idle", "intended", "waiting", "walking"] = "idle"
    row: int = 0
    entry: Entry | None = None
    create: int = 0
    seen: tuple[Found, ...] = ()


@frozen
class Create:
    """A create that was sent and may still land."""

    number: int
    row: int
    until: int


@frozen
class World:
    """Everything there is at one moment."""

    entries: tuple[Entry, ...]
    workers: tuple[Worker, ...]
    now: int = 0
    sent: tuple[Create, ...] = ()
    made: tuple[tuple[Create, int], ...] = ()  # with the tick from which it is listed
    number: int = 0
    crashes: int = 0
    failures: int = 0  # of the state

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is."""
        for row, entry in enumerate(self.entries):
            made = {str(create.number) for create, _ in self.made if create.row == row}
            if len(made) > 1:
                return "doubled"
            if entry.state in HELD and entry.endpoint_id not in made:
                return "lost"
            if entry.state is RowState.REVIEW:
                return "in need of review"
        return None

    @property
    def is_done(self) -> bool:
        """Whether every row was made by the run and nothing is on its way."""
        return not self.sent and all(entry.state in MADE for entry in self.entries)

    @property
    def listed(self) -> tuple[Found, ...]:
        """What the list shows now."""
        return tuple(self.found(create) for create, listed in self.made if listed <= self.now)

    def found(self, create: Create) -> Found:
        """Return what a create has made."""
        entry = self.entries[create.row]
        return Found(str(create.number), f"{entry.wanted.username}1", entry.wanted.alias)


class Model:
    """The protocol, less the rules that are taken away."""

    def __init__(
        self, *, rows: int, workers: int, without: Rule | None = None, troubles: int = 1, ticks: int = 8
    ) -> None:
        self._without = without
        self._ticks = ticks
        entries = tuple(self._new(number) for number in range(rows))
        new = World(entries, (Worker(),) * workers, crashes=troubles, failures=troubles)
        self.begin = [new, self._with_one_made_before(new)]

    def _new(self, number: int) -> Entry:
        name = "name" if self._without == "unique" else f"name{number}x"
        return Entry(number=number, line=number, key=str(number), wanted=Spec(username=name, alias="alias"))

    def _with_one_made_before(self, world: World) -> World:
        create = Create(1, 0, 0)
        first, *others = world.entries
        if self._without != "plan":
            found = world.found(create)
            first = states.imported(states.matched(first, found, {found.endpoint_id}))
        return evolve(world, entries=(first, *others), number=create.number, made=((create, 0),))

    def explore(self) -> Explored:
        """Visit every world."""
        return explore(self.begin, self._ordered)

    def _ordered(self, world: World) -> Iterator[World]:
        # Which of the workers it is makes no difference. Sorting by hash is the quickest.
        for following in self._next(world):
            yield evolve(following, workers=tuple(sorted(following.workers, key=hash)))

    def _next(self, world: World) -> Iterator[World]:
        for create in world.sent:
            yield _land(world, create)
        if world.now < self._ticks:
            yield evolve(world, now=world.now + 1, sent=tuple(c for c in world.sent if c.until > world.now))
        for place, worker in enumerate(world.workers):
            if world.crashes and worker.phase != "idle":
                yield evolve(self._with(world, place, Worker()), crashes=world.crashes - 1)
            for row in range(len(world.entries)) if worker.phase == "idle" else (worker.row,):
                yield from getattr(self, f"_{worker.phase}")(world, place, row)

    def _idle(self, world: World, place: int, row: int) -> Iterator[World]:
        entry = world.entries[row]
        if entry.state is RowState.NEW:
            yield from self._stamp(world, place, row, entry)
        elif entry.state is RowState.INTENT:
            # Somebody takes over what may be a dead process's.
            after = (
                evolve(entry, state=RowState.NEW) if self._without == "restart" else states.recovered(entry)
            )
            yield self._save(world, place, row, entry, after)
        elif entry.state is RowState.PARKED and self._is_settled(world, entry):
            yield self._with(world, place, Worker("walking", row, entry, seen=world.listed))

    def _is_settled(self, world: World, entry: Entry) -> bool:
        age = world.now - (entry.intent_at or 0.0) / TICK
        return self._without == "settle" or age >= SETTLE

    def _stamp(self, world: World, place: int, row: int, entry: Entry) -> Iterator[World]:
        after = states.stamp(entry, world.now * TICK)
        if self._without == "intent first":
            yield self._with(world, place, Worker("intended", row, after))
            return
        saved = self._save(world, place, row, entry, after)
        if saved.entries != world.entries:
            saved = self._with(saved, place, Worker("intended", row, after))
        yield saved
        if world.failures:
            failed = evolve(world, failures=world.failures - 1)
            sends = self._without == "state"
            yield self._with(failed, place, Worker("intended", row, after) if sends else Worker())

    def _intended(self, world: World, place: int, row: int) -> Iterator[World]:
        entry = _of(world.workers[place])
        if self._without != "guard" and not states.is_fresh(entry, world.now * TICK):
            yield from self._stamp(world, place, row, entry)
            return
        create = Create(world.number + 1, row, world.now + LANDING)
        left = evolve(world, number=create.number, sent=(*world.sent, create))
        yield self._with(left, place, Worker("waiting", row, entry, create.number))

    def _waiting(self, world: World, place: int, row: int) -> Iterator[World]:
        worker = world.workers[place]
        entry = _of(worker)
        before = world.entries[row] if self._without in {"intent first", "state"} else entry
        if any(create.number == worker.create for create, _ in world.made):
            after = states.created(entry, str(worker.create), f"{entry.wanted.username}1")
            yield self._save(world, place, row, before, after)
        lost = states.released(entry) if self._without == "park" else states.parked(entry, "lost")
        yield self._save(world, place, row, before, lost)

    def _walking(self, world: World, place: int, row: int) -> Iterator[World]:
        worker = world.workers[place]
        entry = _of(worker)
        found = tuple(each for each in worker.seen if may_be(entry, each, SUFFIXES))
        yield self._save(world, place, row, entry, states.decided(entry, found))

    def _save(self, world: World, place: int, row: int, before: Entry, after: Entry) -> World:
        """Write an entry if it still is as it was; the worker is free again either way."""
        now = world.entries[row]
        if (now.state, now.epoch) == (before.state, before.epoch) or self._without == "swap":
            entries = (*world.entries[:row], after, *world.entries[row + 1 :])
            world = evolve(world, entries=entries)
        return self._with(world, place, Worker())

    @staticmethod
    def _with(world: World, place: int, worker: Worker) -> World:
        return evolve(world, workers=(*world.workers[:place], worker, *world.workers[place + 1 :]))


def _of(worker: Worker) -> Entry:
    assert worker.entry is not None
    return worker.entry


def _land(world: World, create: Create) -> World:
    sent = tuple(each for each in world.sent if each != create)
    return evolve(world, sent=sent, made=(*world.made, (create, world.now + LAG)))

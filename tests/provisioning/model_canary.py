"""A model of the canary: a run against a service whose endpoints do not match the requests.

The service may do so from the beginning, or start at any moment. Runs crash, responses are lost, and a run
that stopped is started again. The functions that check the canary and every later response are those of the
real code (`_canary`, `_transitions`); the model covers which row is sent when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from attrs import evolve, frozen

from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._canary import check_answer, check_listed
from plivo_endpoints.provisioning._entries import HELD, Entry, Found, RowState, Spec
from plivo_endpoints.provisioning._errors import CanaryError
from plivo_endpoints.provisioning._matching import may_be
from tests.provisioning.exploring import Explored, explore
from tests.provisioning.model import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

Rule = Literal["canary", "alone", "look", "answers"]
Habit = Literal["alias", "name", "alias in list", "name in list", "unlisted"]

ROWS: Final = 4
WORKERS: Final = 2
RUNS: Final = 3
TOLD: Final[tuple[Habit, ...]] = ("alias", "name")  # the answer shows them


@frozen
class Made:
    """An endpoint: as the answer to its create describes it, and as the list shows it."""

    row: int
    endpoint_id: str
    made_as: str
    alias: str
    found: Found | None
    is_stray: bool  # nobody who lost the answer could find it again


@frozen
class World:
    """Everything there is at one moment."""

    habit: Habit | None = None
    to_come: Habit | None = None
    entries: tuple[Entry, ...] = tuple(
        Entry(number=n, line=n, key=str(n), wanted=Spec(username=f"name{n}x", alias="alias"))
        for n in range(ROWS)
    )
    made: tuple[Made, ...] = ()
    under_way: tuple[Made, ...] = ()  # whose answers are still to come
    is_up: bool = True
    is_proven: bool = False
    runs: int = 1
    crashes: int = 2
    losses: int = 1
    lost: int = 0  # answers that nobody could look at

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is."""
        # One, if the service was so from the beginning; else what was under way when the first answer told.
        once = len(self.made) == len(self._strays)
        if len(self._strays) > self.lost + (1 if once else WORKERS * self.runs):
            return "many that nobody can find again"
        for row, entry in enumerate(self.entries):
            own = [made.endpoint_id for made in self.made if made.row == row]
            if entry.state in HELD and entry.endpoint_id not in own:
                return "lost"
            if len(own) > 1 and not self._strays:
                return "doubled"
            if entry.state is RowState.REVIEW:
                return "in need of review"
        return None

    @property
    def is_done(self) -> bool:
        """Whether every row has its endpoint, one that can be found again."""
        return not self._strays and all(entry.state in HELD for entry in self.entries)

    @property
    def _strays(self) -> list[Made]:
        return [made for made in self.made if made.is_stray]

    def has(self, *wanted: RowState) -> bool:
        """Whether a row is in one of these states."""
        return any(entry.state in wanted for entry in self.entries)

    def with_entry(self, entry: Entry) -> World:
        """Return the world with what an entry has become."""
        return evolve(self, entries=tuple(entry if e.number == entry.number else e for e in self.entries))

    def without(self, made: Made) -> World:
        """Return the world in which nobody waits for this answer any more."""
        return evolve(self, under_way=tuple(each for each in self.under_way if each != made))

    def ended(self) -> World:
        """Return the world after the run, with creates under way cut off."""
        return evolve(self, is_up=False, under_way=())


class CanaryModel:
    """The protocol, less the rule that is taken away."""

    def __init__(self, *, without: Rule | None = None) -> None:
        self._without = without

    def explore(self) -> Explored:
        """Visit every world, of every kind of service."""
        is_proven = self._without == "canary"
        always = [World(habit, is_proven=is_proven) for habit in (None, *get_args(Habit))]
        later = [World(None, habit, is_proven=is_proven) for habit in TOLD]
        return explore([*always, *later], self._next)

    def _next(self, world: World) -> Iterator[World]:
        if world.to_come:
            yield evolve(world, habit=world.to_come, to_come=None)
        if not world.is_up:
            if world.runs < RUNS:
                yield _started(world)
            return
        if world.crashes:
            yield _crashed(world)
        for made in world.under_way:
            yield from self._answered(world, made)
        yield from self._sent(world)
        if not world.under_way:
            yield from self._proven(world)
            yield from _reconciled(world)

    def _sent(self, world: World) -> Iterator[World]:
        """Send the next new row, if it may go now."""
        if world.is_proven or self._without == "alone":
            may_go = len(world.under_way) < WORKERS
        else:
            may_go = not world.has(RowState.INTENT, RowState.PARKED, RowState.CREATED, RowState.ADOPTED)
        new = next((entry for entry in world.entries if entry.state is RowState.NEW), None)
        if may_go and new:
            made = _made(new, str(len(world.made) + 1), world.habit)
            sent = world.with_entry(states.stamp(new, 0.0))
            yield evolve(sent, made=(*world.made, made), under_way=(*world.under_way, made))

    def _answered(self, world: World, made: Made) -> Iterator[World]:
        entry = world.entries[made.row]
        if world.losses:
            lost = world.without(made).with_entry(states.parked(entry, "lost"))
            yield evolve(lost, losses=world.losses - 1, lost=world.lost + 1)
        after = states.created(entry, made.endpoint_id, made.made_as)
        saved = world.without(made).with_entry(after)
        if world.crashes:  # before it is looked at
            yield _crashed(saved)
        try:
            if self._without not in {"canary", "answers"}:
                check_answer(after, made.alias)
        except CanaryError:
            yield saved.ended()
        else:
            yield saved

    def _proven(self, world: World) -> Iterator[World]:
        first = next((e for e in world.entries if e.state in {RowState.CREATED, RowState.ADOPTED}), None)
        if world.is_proven or first is None:
            return
        try:
            if first.state is RowState.CREATED and self._without != "look":
                check_answer(first, None)
                listed = [made.found for made in world.made if made.endpoint_id == first.endpoint_id]
                check_listed(first, *listed, within=0.0)
        except CanaryError:
            yield world.ended()
        else:
            yield evolve(world, is_proven=True)


def _reconciled(world: World) -> Iterator[World]:
    if world.has(RowState.PARKED):
        for entry in world.entries:
            if entry.state is RowState.PARKED:
                listed = [made.found for made in world.made if made.found]
                candidates = [found for found in listed if may_be(entry, found, SUFFIXES)]
                world = world.with_entry(states.decided(entry, candidates))
        yield world


def _started(world: World) -> World:
    for entry in world.entries:
        if entry.state is RowState.INTENT:
            world = world.with_entry(states.recovered(entry))
    return evolve(world, is_up=True, runs=world.runs + 1)


def _crashed(world: World) -> World:
    lost = world.lost + len(world.under_way)
    return evolve(world.ended(), crashes=world.crashes - 1, lost=lost)


def _made(entry: Entry, endpoint_id: str, habit: Habit | None) -> Made:
    """Make the endpoint of a create, in the service's own way."""
    name, alias = f"{entry.wanted.username}1", entry.wanted.alias
    told = ("somebody1" if habit == "name" else name, "changed" if habit == "alias" else alias)
    shown = Found(
        endpoint_id,
        "somebody1" if habit in {"name", "name in list"} else name,
        "changed" if habit in {"alias", "alias in list"} else alias,
    )
    found = None if habit == "unlisted" else shown
    return Made(entry.number, endpoint_id, *told, found=found, is_stray=habit is not None)

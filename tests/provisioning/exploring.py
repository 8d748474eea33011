"""Explores a model: all worlds that follow from its first ones, the nearest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Judged(Hashable, Protocol):
    """A world that knows what is the matter with it."""

    @property
    def wrong(self) -> str | None:
        """What must not be, if it is."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it is one that there must be, or the model proves nothing."""
        ...


W = TypeVar("W", bound=Judged)


class Explored(NamedTuple):
    """How many worlds were met, what is wrong in the first that is, and whether one was done."""

    worlds: int
    wrong: str | None
    is_done: bool


def explore(begin: Iterable[W], following: Callable[[W], Iterable[W]]) -> Explored:
    """Visit every world, or all that are nearer than the first that is wrong."""
    waiting = deque(begin)
    known = set(waiting)
    is_done = False
    while waiting:
        world = waiting.popleft()
        is_done = is_done or world.is_done
        if world.wrong:
            return Explored(len(known), world.wrong, is_done)
        for after in following(world):
            if after not in known:
                known.add(after)
                waiting.append(after)
    return Explored(len(known), None, is_done)

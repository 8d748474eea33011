"""A model of the rate limit: every order in which requests leave, arrive and are answered, over any crashes.

The window is the real one, taken out of one world and put into the next. Times are relative to now, and
anything older than a period keeps that age. So the number of worlds is finite, and they cover any number of
requests, crashes and restarts in any time.

A request arrives at any moment between getting its slot and being answered or given up, or never. At its end
the window learns when it had left at the latest: when it arrived, or the end itself. Requests in flight when
a process crashes may still arrive until the next one starts, as the connections end with the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import evolve, frozen

from plivo_endpoints._config import RateLimit
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from tests.provisioning.exploring import Explored, explore

if TYPE_CHECKING:
    from collections.abc import Iterator

Rule = Literal["window", "hold", "spent"]

LIMIT: Final = RateLimit(requests=3, seconds=4.0)
LONG_AGO: Final = -LIMIT.seconds - 1.0  # all that is older is alike
NOT_YET: Final = 1.0


@frozen(order=True)
class Request:
    """A request that has a place and no answer yet."""

    reserved: float
    arrived: float = NOT_YET


@frozen
class World:
    """Everything there is at one moment, which is 0; what was before is negative."""

    is_up: bool = True
    left: tuple[float, ...] = ()
    paused_until: float = 0.0
    under_way: tuple[Request, ...] = ()
    arrived: tuple[float, ...] = ()  # as the server counts them

    @property
    def wrong(self) -> str | None:
        """Return what must not be, if it is."""
        if len(self.arrived) > LIMIT.requests:
            return "more than the quota"
        if self.is_up and not self.window().reserve(0.0) == self._next_place <= LIMIT.seconds:
            return "a place withheld"
        return None

    @property
    def is_done(self) -> bool:
        """Whether the quota is used to the full."""
        return len(self.arrived) == LIMIT.requests

    @property
    def _next_place(self) -> float:
        """From when on a request can be let go, as far as is known now."""
        held = [time for time in self.left if time + LIMIT.seconds > 0]
        if self.paused_until or len(held) + len(self.under_way) < LIMIT.requests:
            return self.paused_until
        return min(held, default=0.0) + LIMIT.seconds

    def window(self) -> SlidingWindow:
        """Return the process's window."""
        window = SlidingWindow(LIMIT)
        window._left, window._under_way = list(self.left), len(self.under_way)
        window.paused_until = self.paused_until
        return window

    def with_window(self, window: SlidingWindow, under_way: tuple[Request, ...]) -> World:
        """Return the world with what a window has become, and the requests that hold a place in it."""
        assert window._under_way == len(under_way)
        return evolve(
            self,
            left=tuple(window._left),
            paused_until=window.paused_until,
            under_way=tuple(sorted(under_way)),
        )


class RateModel:
    """The limit, less the rule that is taken away."""

    def __init__(self, *, without: Rule | None = None) -> None:
        self._without = without

    def explore(self) -> Explored:
        """Visit every world."""
        return explore([World()], self._next)

    def _next(self, world: World) -> Iterator[World]:
        yield _later(world)
        for place, request in enumerate(world.under_way):
            others = (*world.under_way[:place], *world.under_way[place + 1 :])
            if request.arrived == NOT_YET:
                now = tuple(sorted((*others, evolve(request, arrived=0.0))))
                yield evolve(world, under_way=now, arrived=(*world.arrived, 0.0))
            if world.is_up:
                yield from self._ended(world, request, others)
        if world.is_up:
            yield from self._begun(world)
            yield evolve(world, is_up=False, left=(), paused_until=0.0)
        else:
            yield self._restarted(world)

    def _begun(self, world: World) -> Iterator[World]:
        window = world.window()
        if window.reserve(0.0) == 0.0:
            yield world.with_window(window, (*world.under_way, Request(0.0)))
        elif self._without == "window":
            yield evolve(world, arrived=(*world.arrived, 0.0))  # it goes all the same

    def _ended(self, world: World, request: Request, others: tuple[Request, ...]) -> Iterator[World]:
        """Let it be answered or given up; what has not arrived by then never does, and perhaps never left."""
        for left in (0.0, None if request.arrived == NOT_YET else request.arrived):
            window = world.window()
            window.settle(request.reserved if self._without == "hold" else left)
            yield world.with_window(window, others)

    def _restarted(self, world: World) -> World:
        window = SlidingWindow(LIMIT)
        if self._without != "spent":
            window.spend(0.0)
        return evolve(world, is_up=True).with_window(window, ())


def _later(world: World) -> World:
    """Let a tick pass."""
    return evolve(
        world,
        left=tuple(max(LONG_AGO, time - 1) for time in world.left),
        paused_until=max(0.0, world.paused_until - 1),
        under_way=tuple(_aged(request) for request in world.under_way),
        arrived=tuple(time - 1 for time in world.arrived if time - 1 > -LIMIT.seconds),
    )


def _aged(request: Request) -> Request:
    arrived = request.arrived if request.arrived == NOT_YET else max(LONG_AGO, request.arrived - 1)
    return Request(max(LONG_AGO, request.reserved - 1), arrived)

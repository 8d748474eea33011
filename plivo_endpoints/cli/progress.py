"""How far a command is: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import click
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from plivo_endpoints.provisioning._listing import watched_walks
from plivo_endpoints.provisioning._report import STATUSES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from rich.console import RenderableType

    from plivo_endpoints.provisioning import Progress as RunProgress
    from plivo_endpoints.provisioning import Run
    from plivo_endpoints.provisioning._listing import WalkProgress

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0
_STRETCH_SECONDS: Final = 10.0  # that a rate is taken over
_CHANGING: Final = frozenset({"creating", "updating"})
_WALKING: Final = frozenset({"planning", "reconciling", "auditing"})


@frozen(kw_only=True)
class Snapshot:
    """Where a command is at one moment.

    Attributes:
        phase: What it is at.
        done: How many of `total` are done; both are 0 as long as that is not known.
        total: How many there are.
        unit: Of what: rows of the source, or endpoints of the account's list.
        text: The counts and the rate.
        left: Seconds that the phase will still take, if that is known.
    """

    phase: str
    done: int = 0
    total: int = 0
    unit: str = "rows"
    text: str = ""
    left: float | None = None


class Meter(Protocol):
    """Takes snapshots."""

    def read(self) -> Snapshot | None:
        """Return where the command is now; `None` if there is nothing to show yet."""
        ...


@frozen
class _Sample:
    phase: str
    at: float
    done: int

    def rate_since(self, before: _Sample) -> float | None:
        seconds = self.at - before.at
        return (self.done - before.done) / seconds if seconds > 0 else None


class _Rate:
    """Things a second, within a phase, over its last seconds."""

    def __init__(self) -> None:
        self._stretch: deque[_Sample] = deque()

    def add(self, now: _Sample) -> float | None:
        if self._stretch and self._stretch[0].phase != now.phase:
            self._stretch.clear()
        self._stretch.append(now)
        while now.at - self._stretch[0].at > _STRETCH_SECONDS:
            self._stretch.popleft()
        return now.rate_since(self._stretch[0])


class WalkMeter:
    """Measures a walk of the account's list."""

    def __init__(self, walk: WalkProgress, phase: str = "reading") -> None:
        self._walk = walk
        self._phase = phase
        self._rate = _Rate()
        self._is_long = False

    def read(self) -> Snapshot | None:
        """Return how far the walk is; `None` for one that is over before anybody could look."""
        snapshot = self.read_in(self._phase, [])
        self._is_long = self._is_long or (snapshot is not None and snapshot.done < snapshot.total)
        return snapshot if self._is_long else None

    def read_in(self, phase: str, counts: list[str]) -> Snapshot | None:
        """Return the same as a phase of a run, which has counts beside it."""
        done, total = self._walk.read, self._walk.total
        if not total:
            return None
        rate = self._rate.add(_Sample(phase, time.monotonic(), done))
        return Snapshot(
            phase=phase,
            done=done,
            total=total,
            unit="endpoints",
            text=", ".join([*counts, *([f"{rate:.0f}/s"] if rate else [])]),
            left=max(0, total - done) / rate if rate else None,
        )


class RateMeter:
    """Measures a run; its rates leave out what an earlier process did."""

    def __init__(self, run: Run, walk: WalkProgress) -> None:
        self._run = run
        self._walk = WalkMeter(walk)
        self._begun: _Sample | None = None
        self._rate = _Rate()

    def read(self) -> Snapshot:
        """Return where the run is."""
        progress = self._run.progress
        counts = _counts(progress)
        if progress.phase in _WALKING and (walk := self._walk.read_in(progress.phase, counts)):
            return walk
        total = sum(progress.counts.values())
        done = total - progress.counts["unprocessed"]
        if not total:
            return Snapshot(phase=progress.phase)
        rate = self._measure(_Sample(progress.phase, time.monotonic(), done))
        text = ", ".join([*counts, *_pace(progress, rate)])
        return Snapshot(phase=progress.phase, done=done, total=total, text=text, left=_left(progress, rate))

    def _measure(self, now: _Sample) -> float | None:
        """Return rows a second: lately, and at the end those of the whole run."""
        self._begun = self._begun or now
        lately = self._rate.add(now)
        if now.phase == "done":
            return now.rate_since(self._begun) or None
        return lately if now.phase in _CHANGING else None


def _counts(progress: RunProgress) -> list[str]:
    """Return the counts that are not zero, by the words of the report."""
    named = {
        "waiting" if status == "unprocessed" else status: (
            progress.waiting if status == "unprocessed" else progress.counts[status]
        )
        for status in STATUSES
    }
    return [f"{name} {count}" for name, count in named.items() if count]


def _pace(progress: RunProgress, rate: float | None) -> list[str]:
    if progress.settles_in is not None:
        return [f"settled in {_clock(progress.settles_in)}"]
    if rate is None:
        return []
    return [f"{rate:.0f}/s on average" if progress.phase == "done" else f"{rate:.0f}/s"]


def _left(progress: RunProgress, rate: float | None) -> float | None:
    """Return the seconds that the phase will still take."""
    if progress.phase == "done":
        return 0.0
    return progress.counts["unprocessed"] / rate if rate else progress.settles_in


def _clock(seconds: float) -> str:
    """Return seconds as people read them."""
    return str(timedelta(seconds=round(seconds)))


class _TwoLines(Progress):
    """A bar, and words below it: beside it there is no room for both."""

    words = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return both."""
        yield from super().get_renderables()
        yield Text(self.words)


class Bar:
    """A bar that stays where it is, as wide as the terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = _TwoLines(*columns, console=console, expand=True)
        self._task: TaskID | None = None
        self.seconds: float = _BAR_SECONDS

    def show(self, now: Snapshot) -> None:
        """Move the bar."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(now.phase, total=None, unit=now.unit, left="")
        self._progress.words = now.text
        self._progress.update(
            self._task,
            description=now.phase,
            completed=now.done,
            total=now.total or None,
            unit=now.unit,
            left="-:--:--" if now.left is None else _clock(now.left),
        )

    def end(self, last: Snapshot | None) -> None:
        """Leave the last snapshot standing."""
        if last is not None:
            self.show(last)
        self._progress.stop()


class Lines:
    """A line for every phase, and every ten seconds."""

    def __init__(self) -> None:
        self.seconds = _LINE_SECONDS

    def show(self, now: Snapshot) -> None:
        """Print a line."""
        parts = [f"{now.done} of {now.total} {now.unit}", now.text] if now.total else []
        if now.left and "settled in" not in now.text:
            parts.append(f"{_clock(now.left)} left")
        far = ", ".join(part for part in parts if part)
        click.echo(f"{now.phase}: {far}" if far else now.phase, err=True)

    def end(self, last: Snapshot | None) -> None:
        """Print the last snapshot, if it has figures."""
        if last is not None and last.total:
            self.show(last)


@asynccontextmanager
async def shown(meter: Meter, *, quiet: bool) -> AsyncGenerator[None]:
    """Show what a meter reads, within the block."""
    if quiet:
        yield
        return
    display = Bar(Console(stderr=True, highlight=False)) if sys.stderr.isatty() else Lines()
    updates = asyncio.create_task(_update(meter, display))
    try:
        yield
    finally:
        updates.cancel()
        display.end(meter.read())


@asynccontextmanager
async def walk_shown(*, quiet: bool) -> AsyncGenerator[None]:
    """Show how far the walks of the account's list are that are begun within the block."""
    with watched_walks() as walk:
        async with shown(WalkMeter(walk), quiet=quiet):
            yield


async def _update(meter: Meter, display: Bar | Lines) -> None:
    phase, shown_at = None, 0.0
    while True:
        snapshot, now = meter.read(), time.monotonic()
        if snapshot is not None and (snapshot.phase != phase or now - shown_at >= display.seconds):
            display.show(snapshot)
            phase, shown_at = snapshot.phase, now
        await asyncio.sleep(_BAR_SECONDS)

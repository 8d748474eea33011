"""Progress of a command on stderr: a bar on a terminal, otherwise a line every few seconds."""

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
_RATE_SECONDS: Final = 10.0  # the period over which a rate is measured
_CHANGING: Final = frozenset({"creating", "updating"})
_WALKING: Final = frozenset({"planning", "reconciling", "auditing"})


@frozen(kw_only=True)
class Snapshot:
    """The progress of a command at one moment.

    Attributes:
        phase: The current phase.
        done: How many of `total` are done; both are 0 while that is unknown.
        total: How many there are.
        unit: What is counted: rows of the source, or endpoints of the account's list.
        text: The counts and the rate.
        left: Seconds that the phase will still take, if known.
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
        """Return the current progress; `None` if there is nothing to show yet."""
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
    """Items per second, over the last seconds of a phase."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def add(self, now: _Sample) -> float | None:
        if self._samples and self._samples[0].phase != now.phase:
            self._samples.clear()
        self._samples.append(now)
        while now.at - self._samples[0].at > _RATE_SECONDS:
            self._samples.popleft()
        return now.rate_since(self._samples[0])


class WalkMeter:
    """Measures a walk of the account's list."""

    def __init__(self, walk: WalkProgress, phase: str = "reading") -> None:
        self._walk = walk
        self._phase = phase
        self._rate = _Rate()
        self._is_unfinished = False

    def read(self) -> Snapshot | None:
        """Return the progress of the walk; `None` if it is finished when first read."""
        snapshot = self.read_in(self._phase, [])
        self._is_unfinished = self._is_unfinished or (snapshot is not None and snapshot.done < snapshot.total)
        return snapshot if self._is_unfinished else None

    def read_in(self, phase: str, counts: list[str]) -> Snapshot | None:
        """Return the progress of the walk as a phase of a run, with the run's counts."""
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
    """Measures a run; its rates do not include rows that an earlier process did."""

    def __init__(self, run: Run, walk: WalkProgress) -> None:
        self._run = run
        self._walk = WalkMeter(walk)
        self._start: _Sample | None = None
        self._rate = _Rate()

    def read(self) -> Snapshot:
        """Return the progress of the run."""
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
        """Return rows per second: over the last seconds, and at the end over the whole run."""
        self._start = self._start or now
        recent = self._rate.add(now)
        if now.phase == "done":
            return now.rate_since(self._start) or None
        return recent if now.phase in _CHANGING else None


def _counts(progress: RunProgress) -> list[str]:
    """Return the counts that are not zero, named as in the report."""
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
    """Return seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


class _TwoLines(Progress):
    """A bar with text below it, as one line has no room for both."""

    words = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bar and the text."""
        yield from super().get_renderables()
        yield Text(self.words)


class Bar:
    """A bar of the terminal's width that is updated in place."""

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
        """Update the bar."""
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
        """Show the last snapshot and stop."""
        if last is not None:
            self.show(last)
        self._progress.stop()


class Lines:
    """A line for each phase, and every ten seconds."""

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
        """Print the last snapshot if it has counts."""
        if last is not None and last.total:
            self.show(last)


@asynccontextmanager
async def shown(meter: Meter, *, quiet: bool) -> AsyncGenerator[None]:
    """Show the readings of a meter while the block runs."""
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
    """Show the progress of walks of the account's list that start within the block."""
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

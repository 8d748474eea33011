"""How far a run is: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from rich.console import RenderableType

    from plivo_endpoints.provisioning import Progress as Standing
    from plivo_endpoints.provisioning import Run

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0
_STRETCH_SECONDS: Final = 10.0  # that a rate is taken over


@frozen(kw_only=True)
class Figures:
    """What is worth telling about a run at one moment; `left` is in seconds, if it is known."""

    phase: str
    done: int
    total: int
    text: str
    left: float | None


@frozen
class _Sample:
    phase: str
    at: float
    done: int

    def rate_since(self, before: _Sample) -> float | None:
        seconds = self.at - before.at
        return (self.done - before.done) / seconds if seconds > 0 else None


class Meter:
    """Takes a run's figures; its rates leave out what was done before, by an earlier process say."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._begun: _Sample | None = None
        self._stretch: deque[_Sample] = deque()  # the last seconds of this phase

    def read(self) -> Figures:
        """Return the figures of this moment."""
        progress = self._run.progress
        total = sum(progress.counts.values())
        done = total - progress.counts["unprocessed"]
        if not total:
            return Figures(phase=progress.phase, done=0, total=0, text="", left=None)
        rate = self._rate(_Sample(progress.phase, time.monotonic(), done))
        told = [*_counts(progress), *_pace(progress, rate)]
        return Figures(
            phase=progress.phase, done=done, total=total, text=", ".join(told), left=_left(progress, rate)
        )

    def _rate(self, now: _Sample) -> float | None:
        """Return rows a second: of late, and in the end of the whole run; `None` if that says nothing."""
        self._begun = self._begun or now
        if self._stretch and self._stretch[0].phase != now.phase:
            self._stretch.clear()
        self._stretch.append(now)
        while now.at - self._stretch[0].at > _STRETCH_SECONDS:
            self._stretch.popleft()
        if now.phase == "done":
            return now.rate_since(self._begun) or None
        return now.rate_since(self._stretch[0]) if now.phase in {"creating", "updating"} else None


def _counts(progress: Standing) -> list[str]:
    """Name what is worth telling, by the words of the report."""
    counts = progress.counts
    more = {
        "adopted": counts["adopted"],
        "waiting": progress.waiting,
        "failed": counts["failed"],
        "review": counts["review"],
    }
    return [f"created {counts['created']}", *(f"{name} {count}" for name, count in more.items() if count)]


def _pace(progress: Standing, rate: float | None) -> list[str]:
    if progress.settles_in is not None:
        return [f"settled in {_clock(progress.settles_in)}"]
    if rate is None:
        return []
    return [f"{rate:.0f}/s on average" if progress.phase == "done" else f"{rate:.0f}/s"]


def _left(progress: Standing, rate: float | None) -> float | None:
    """Return the seconds that what it is at will take."""
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
            TextColumn("{task.fields[left]}"),
        )
        self._progress = _TwoLines(*columns, console=console, expand=True)
        self._task: TaskID | None = None
        self.seconds: float = _BAR_SECONDS

    def show(self, figures: Figures) -> None:
        """Move the bar."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(figures.phase, total=None, left="")
        self._progress.words = figures.text
        self._progress.update(
            self._task,
            description=figures.phase,
            completed=figures.done,
            total=figures.total or None,
            left="-:--:--" if figures.left is None else _clock(figures.left),
        )

    def end(self, figures: Figures) -> None:
        """Leave the last state standing."""
        self.show(figures)
        self._progress.stop()


class Lines:
    """A line for every phase, and every ten seconds."""

    def __init__(self) -> None:
        self.seconds = _LINE_SECONDS

    def show(self, figures: Figures) -> None:
        """Print a line."""
        far = f": {figures.done} of {figures.total}, {figures.text}" if figures.total else ""
        click.echo(f"{figures.phase}{far}", err=True)

    def end(self, figures: Figures) -> None:
        """Print the last state, if there is something to tell."""
        if figures.total:
            self.show(figures)


@asynccontextmanager
async def shown(run: Run, *, quiet: bool) -> AsyncGenerator[None]:
    """Show how far a run is, within the block."""
    if quiet:
        yield
        return
    display = Bar(Console(stderr=True, highlight=False)) if sys.stderr.isatty() else Lines()
    meter = Meter(run)
    told = asyncio.create_task(_tell(meter, display))
    try:
        yield
    finally:
        told.cancel()
        display.end(meter.read())


async def _tell(meter: Meter, display: Bar | Lines) -> None:
    phase, shown_at = None, 0.0
    while True:
        figures = meter.read()
        now = time.monotonic()
        if figures.phase != phase or now - shown_at >= display.seconds:
            display.show(figures)
            phase, shown_at = figures.phase, now
        await asyncio.sleep(_BAR_SECONDS)

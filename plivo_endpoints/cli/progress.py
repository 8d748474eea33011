"""How far a run is: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import click
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from rich.console import RenderableType

    from plivo_endpoints.provisioning import Run

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0


@frozen(kw_only=True)
class Figures:
    """What is worth telling about a run at one moment."""

    phase: str
    done: int
    total: int
    text: str


class Meter:
    """Takes a run's figures; its rate leaves out what was done before, by an earlier process say."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since: tuple[float, int] | None = None

    def read(self) -> Figures:
        """Return the figures of this moment."""
        progress, counts = self._run.progress, self._run.progress.counts
        total = sum(counts.values())
        done = total - counts["unprocessed"]
        more = {
            "adopted": counts["adopted"],
            "waiting": progress.waiting,
            "failed": counts["failed"],
            "to review": counts["review"],
        }
        told = [f"{name} {count}" for name, count in more.items() if count]
        text = ", ".join([f"made {counts['created']}", *told, f"{self._rate(done):.0f}/s"]) if total else ""
        return Figures(phase=progress.phase, done=done, total=total, text=text)

    def _rate(self, done: int) -> float:
        now = time.monotonic()
        begun, done_before = self._since = self._since or (now, done)
        return (done - done_before) / max(now - begun, 0.001)


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
            TimeRemainingColumn(),
        )
        self._progress = _TwoLines(*columns, console=console, expand=True)
        self._task: TaskID | None = None
        self.seconds: float = _BAR_SECONDS

    def show(self, figures: Figures) -> None:
        """Move the bar."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(figures.phase, total=None)
        self._progress.words = figures.text
        self._progress.update(
            self._task,
            description=figures.phase,
            completed=figures.done,
            total=figures.total or None,
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

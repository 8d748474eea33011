"""How far a run is: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plivo_endpoints.provisioning import Run

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0


class Figures:
    """What is worth telling about a run at one moment."""

    def __init__(self, run: Run, begun: float, done_before: int) -> None:
        progress, counts = run.progress, run.progress.counts
        self.phase: str = progress.phase
        self.total: int = sum(counts.values())
        self.done: int = self.total - counts["unprocessed"]
        rate = (self.done - done_before) / max(time.monotonic() - begun, 0.001)
        self.text: str = (
            f"made {counts['created']}, adopted {counts['adopted']}, waiting {progress.waiting}, "
            f"failed {counts['failed']}, {rate:.0f}/s"
        )


class Bar:
    """A bar that stays where it is."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:<11}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True, highlight=False))
        self._task: TaskID | None = None
        self.seconds: float = _BAR_SECONDS

    def show(self, figures: Figures) -> None:
        """Move the bar."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(figures.phase, total=None, text="")
        self._progress.update(
            self._task,
            description=figures.phase,
            completed=figures.done,
            total=figures.total or None,
            text=figures.text,
        )

    def end(self) -> None:
        """Leave the last state standing."""
        self._progress.stop()


class Lines:
    """A line for every phase, and every ten seconds."""

    def __init__(self) -> None:
        self.seconds = _LINE_SECONDS

    def show(self, figures: Figures) -> None:
        """Print a line."""
        click.echo(f"{figures.phase}: {figures.done} of {figures.total}, {figures.text}", err=True)

    def end(self) -> None:
        """Nothing is left open."""


@asynccontextmanager
async def shown(run: Run, *, quiet: bool) -> AsyncGenerator[None]:
    """Show how far a run is, within the block."""
    if quiet:
        yield
        return
    display = Bar() if sys.stderr.isatty() else Lines()
    begun, done_before = time.monotonic(), Figures(run, 0.0, 0).done
    told = asyncio.create_task(_tell(run, display, begun, done_before))
    try:
        yield
    finally:
        told.cancel()
        display.show(Figures(run, begun, done_before))
        display.end()


async def _tell(run: Run, display: Bar | Lines, begun: float, done_before: int) -> None:
    phase, shown_at = None, 0.0
    while True:
        figures = Figures(run, begun, done_before)
        now = time.monotonic()
        if figures.phase != phase or now - shown_at >= display.seconds:
            display.show(figures)
            phase, shown_at = figures.phase, now
        await asyncio.sleep(_BAR_SECONDS)

"""How far a run is, as people see it."""

import io
import time
from typing import cast
from unittest.mock import Mock

import pytest
from attrs import define
from rich.console import Console

from plivo_endpoints.cli.progress import Bar, Figures, Lines, Meter
from plivo_endpoints.provisioning import Progress, Run, Status
from plivo_endpoints.provisioning._report import STATUSES


@define
class Standing:
    """As much of a run as its figures need."""

    progress: Progress


def progress(waiting: int = 0, **counts: int) -> Progress:
    """Return where a run is."""
    known: dict[Status, int] = {status: counts.get(status, 0) for status in STATUSES}
    return Progress(phase="reconciling", counts=known, waiting=waiting)


def figures(waiting: int = 0, **counts: int) -> Figures:
    """Return what is told of it."""
    return Meter(cast("Run", Standing(progress(waiting, **counts)))).read()


LARGE = figures(32, created=354_321, adopted=121, failed=13, review=4, unprocessed=645_541)


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_nothing_is_cut(columns: int) -> None:
    """Phase, bar and count in one line, the words below; no line is longer than the terminal."""
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None, record=True)
    bar = Bar(console)
    bar.end(LARGE)
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= columns
    assert "\u2026" not in shown
    last = shown[shown.rindex("reconciling") :].split()
    assert (last[1][0], last[2]) == ("\u2501", "354459/1000000")
    assert last[4:] == LARGE.text.split()


def test_only_what_is_worth_telling(capsys: pytest.CaptureFixture[str]) -> None:
    """No zeros, and no figures at all before there are rows."""
    lines = Lines()
    lines.show(figures())
    lines.show(figures(created=600, unprocessed=600))
    lines.end(LARGE)
    lines.end(figures())
    assert capsys.readouterr().err.splitlines() == [
        "reconciling",
        "reconciling: 600 of 1200, made 600, 0/s",
        "reconciling: 354459 of 1000000, made 354321, adopted 121, waiting 32, failed 13, to review 4, 0/s",
    ]


def test_the_rate_is_that_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run had made before, and the time until rows are known, do not count."""
    monkeypatch.setattr(time, "monotonic", Mock(side_effect=[100.0, 110.0]))
    standing = Standing(progress())
    meter = Meter(cast("Run", standing))
    told: list[str] = []
    for created in (0, 90_000, 90_500):
        standing.progress = progress(created=created, unprocessed=created and 100_000 - created)
        told.append(meter.read().text)
    assert told == ["", "made 90000, 0/s", "made 90500, 50/s"]

"""How far a run is, as people see it."""

import io
import time
from typing import cast
from unittest.mock import Mock

import pytest
from attrs import define
from rich.console import Console

from plivo_endpoints.cli.progress import Bar, Figures, Lines, Meter
from plivo_endpoints.provisioning import Phase, Progress, Run, Status
from plivo_endpoints.provisioning._report import STATUSES


@define
class Standing:
    """As much of a run as its figures need."""

    progress: Progress


def progress(
    waiting: int = 0, *, phase: Phase = "reconciling", settles_in: float | None = None, **counts: int
) -> Progress:
    """Return where a run is."""
    known: dict[Status, int] = {status: counts.get(status, 0) for status in STATUSES}
    return Progress(phase=phase, counts=known, waiting=waiting, settles_in=settles_in)


def figures(waiting: int = 0, **counts: int) -> Figures:
    """Return what is told of it."""
    return Meter(
        cast("Run", Standing(progress(waiting, phase="reconciling", settles_in=None, **counts)))
    ).read()


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
        "reconciling: 600 of 1200, created 600",
        "reconciling: 354459 of 1000000, created 354321, adopted 121, waiting 32, failed 13, review 4",
    ]


def told(monkeypatch: pytest.MonkeyPatch, *moments: tuple[float, Progress]) -> list[Figures]:
    """Return what is told of a run at these moments, in seconds."""
    standing = Standing(moments[0][1])
    meter = Meter(cast("Run", standing))
    figures: list[Figures] = []
    for now, standing.progress in moments:
        monkeypatch.setattr(time, "monotonic", Mock(return_value=now))
        figures.append(meter.read())
    return figures


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run had made before does not count, nor the phase before; a pause soon shows."""
    shown = told(
        monkeypatch,
        (0.0, progress(phase="planning")),
        (100.0, progress(phase="canary", created=90_000, unprocessed=2_000)),
        (120.0, progress(phase="creating", created=90_001, unprocessed=1_999)),
        (125.0, progress(phase="creating", created=90_501, unprocessed=1_499)),
        (135.0, progress(phase="creating", created=91_001, unprocessed=999)),
        (145.0, progress(phase="creating", created=91_001, unprocessed=999)),
        (147.0, progress(phase="creating", created=91_001, unprocessed=999)),
    )
    assert [each.text for each in shown] == [
        "",
        "created 90000",
        "created 90001",
        "created 90501, 100/s",
        "created 91001, 50/s",
        "created 91001, 0/s",
        "created 91001, 0/s",
    ]
    assert [each.left for each in shown] == [None, None, None, 14.99, 19.98, None, None]


def test_settling_has_an_end_and_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made meanwhile, so it says when it is over; the end tells the mean of the run."""
    shown = told(
        monkeypatch,
        (0.0, progress(phase="creating", created=0, unprocessed=3)),
        (2.0, progress(1, phase="settling", settles_in=110.4, created=2, unprocessed=1)),
        (130.0, progress(phase="reconciling", created=2, adopted=1)),
        (150.0, progress(phase="done", created=300)),
    )
    assert [(each.text, each.left) for each in shown[1:]] == [
        ("created 2, waiting 1, settled in 0:01:50", 110.4),
        ("created 2, adopted 1", None),
        ("created 300, 2/s on average", 0.0),
    ]


def test_a_run_too_short_for_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none, which is not none a second."""
    (shown,) = told(monkeypatch, (5.0, progress(phase="done", created=3)))
    assert shown.text == "created 3"

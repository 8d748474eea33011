"""How far a run is, as people see it."""

import io
import time
from typing import cast
from unittest.mock import Mock

import pytest
from attrs import define
from rich.console import Console

from plivo_endpoints.cli.progress import Bar, Lines, RateMeter, Snapshot, WalkMeter
from plivo_endpoints.provisioning import Phase, Progress, Run, Status
from plivo_endpoints.provisioning._listing import WalkProgress
from plivo_endpoints.provisioning._report import STATUSES


@define
class RunProgress:
    """As much of a run as its figures need."""

    progress: Progress


def progress(
    waiting: int = 0, *, phase: Phase = "reconciling", settles_in: float | None = None, **counts: int
) -> Progress:
    """Return where a run is."""
    known: dict[Status, int] = {status: counts.get(status, 0) for status in STATUSES}
    return Progress(phase=phase, counts=known, waiting=waiting, settles_in=settles_in)


def meter(standing: RunProgress, walk: WalkProgress | None = None) -> RateMeter:
    """Return what measures it."""
    return RateMeter(cast("Run", standing), walk or WalkProgress())


def snapshot(waiting: int = 0, **counts: int) -> Snapshot:
    """Return what is shown of it."""
    return meter(RunProgress(progress(waiting, phase="reconciling", settles_in=None, **counts))).read()


LARGE = snapshot(32, created=354_321, adopted=121, failed=13, review=4, unprocessed=645_541)


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
    assert last[3] == "rows"
    assert last[5:] == LARGE.text.split()


def test_only_what_is_worth_telling(capsys: pytest.CaptureFixture[str]) -> None:
    """No zeros, and no figures at all before there are rows."""
    lines = Lines()
    lines.show(snapshot())
    lines.show(snapshot(created=600, unprocessed=600))
    lines.end(LARGE)
    lines.end(snapshot())
    assert capsys.readouterr().err.splitlines() == [
        "reconciling",
        "reconciling: 600 of 1200 rows, created 600",
        "reconciling: 354459 of 1000000 rows, created 354321, adopted 121, failed 13, waiting 32, review 4",
    ]


def test_the_last_line_has_every_count(capsys: pytest.CaptureFixture[str]) -> None:
    """By the words of the report, and in its order."""
    counts = {status: number for number, status in enumerate(STATUSES, 1) if status != "unprocessed"}
    Lines().end(meter(RunProgress(progress(phase="done", **counts))).read())
    assert capsys.readouterr().err == (
        "done: 46 of 46 rows, created 1, adopted 2, imported 3, updated 4, replaced 5, deleted 6, "
        "unchanged 7, failed 8, review 10\n"
    )


def test_lines_say_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the rate of late; while creates settle there is one time only."""
    shown = measure(
        monkeypatch,
        (0.0, progress(phase="creating", unprocessed=1_200)),
        (5.0, progress(phase="creating", created=300, unprocessed=900)),
        (20.0, progress(1, phase="settling", settles_in=90.0, created=1_199, unprocessed=1)),
    )
    for each in shown[1:]:
        Lines().show(each)
    assert capsys.readouterr().err.splitlines() == [
        "creating: 300 of 1200 rows, created 300, 60/s, 0:00:15 left",
        "settling: 1199 of 1200 rows, created 1199, waiting 1, settled in 0:01:30",
    ]


def test_a_walk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown by the endpoints that were read, once their number is known."""
    walk = WalkProgress()
    reading = WalkMeter(walk)
    assert reading.read() is None
    for now, walk.read, walk.total in ((0.0, 20, 60_000), (10.0, 10_020, 60_000)):
        monkeypatch.setattr(time, "monotonic", Mock(return_value=now))
        shown = reading.read()
        assert shown is not None
        Lines().show(shown)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 20 of 60000 endpoints",
        "reading: 10020 of 60000 endpoints, 1000/s, 0:00:50 left",
    ]


def test_a_walk_that_is_soon_over() -> None:
    """Of a small account nothing is shown."""
    assert WalkMeter(WalkProgress(read=7, total=7)).read() is None


def test_a_walk_within_a_run() -> None:
    """While a run plans and audits, the walk is what can be measured."""
    walk = WalkProgress(read=40, total=100)
    planning = meter(RunProgress(progress(phase="planning")), walk).read()
    assert (planning.phase, planning.done, planning.total, planning.unit) == (
        "planning",
        40,
        100,
        "endpoints",
    )
    auditing = meter(RunProgress(progress(phase="auditing", created=3)), walk).read()
    assert (auditing.done, auditing.unit, auditing.text) == (40, "endpoints", "created 3")
    creating = meter(RunProgress(progress(phase="creating", created=1, unprocessed=2)), walk).read()
    assert (creating.done, creating.total, creating.unit) == (1, 3, "rows")


def measure(monkeypatch: pytest.MonkeyPatch, *moments: tuple[float, Progress]) -> list[Snapshot]:
    """Return what is shown of a run at these moments, in seconds."""
    standing = RunProgress(moments[0][1])
    measuring = meter(standing)
    snapshots: list[Snapshot] = []
    for now, standing.progress in moments:
        monkeypatch.setattr(time, "monotonic", Mock(return_value=now))
        snapshots.append(measuring.read())
    return snapshots


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run had made before does not count, nor the phase before; a pause soon shows."""
    shown = measure(
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
    shown = measure(
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
    (shown,) = measure(monkeypatch, (5.0, progress(phase="done", created=3)))
    assert shown.text == "created 3"

"""The goal table: every row a ratio of two contenders in the same run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from attrs import frozen

from benchmarks.peers import AIOHTTP, OURS, OURS_BLOCKING, OURS_BLOCKING_FAST, OURS_FAST, SDK

if TYPE_CHECKING:
    from benchmarks.rounds import Measured


@frozen
class Goal:
    """One row: the goal, and the bar that must not be missed."""

    row: str
    what: str
    ours: str
    theirs: str | None  # `None`: the figure is no ratio
    goal: float
    bar: float
    unit: str = ""

    def figures(self, measured: Measured) -> list[float]:
        """Return a figure for each round."""
        values = measured[self.row]
        if self.theirs is None:
            return values[self.ours]
        return [one / other for one, other in zip(values[self.ours], values[self.theirs], strict=True)]


GOALS: Final = (
    Goal("create-50", "CPU per create, 50 in flight, against naive aiohttp", OURS, AIOHTTP, 1.0, 1.15),
    Goal("create-50", "the same with the extra `speed`", OURS_FAST, AIOHTTP, 0.75, 0.90),
    Goal("create-50-raw", "the same, without the extra, on a raw asyncio server", OURS, AIOHTTP, 1.0, 1.15),
    Goal("create-50", "CPU per create, 50 in flight, against the SDK on threads", OURS, SDK, 0.22, 0.27),
    Goal("calls-get", "function calls per get, against naive aiohttp", OURS, AIOHTTP, 1.0, 1.2),
    Goal("blocking-get", "CPU per blocking get, against the SDK", OURS_BLOCKING, SDK, 0.45, 0.60),
    Goal("blocking-get", "the same with the extra `speed`", OURS_BLOCKING_FAST, SDK, 0.35, 0.60),
    Goal("threads-8", "CPU per get of 8 threads, against the SDK", OURS_BLOCKING, SDK, 0.30, 0.40),
    Goal("threads-8", "the same with the extra `speed`", OURS_BLOCKING_FAST, SDK, 0.30, 0.40),
    Goal("list-time-16", "time to list 20,000 at 50 ms a page, against the SDK", OURS, SDK, 1 / 14, 1 / 10),
    Goal("list-memory", "peak memory that listing 100,000 adds", OURS, None, 5.0, 10.0, " MB"),
    Goal("decode", "CPU to decode a page of 20, against the SDK", OURS_BLOCKING, SDK, 0.9, 1.3),
    Goal("import", "CPU of the import, against `import plivo`", OURS, SDK, 0.25, 0.40),
    Goal("first-call", "first call of a fresh process, against the SDK", OURS_BLOCKING, SDK, 1.0, 1.4),
    Goal("provision", "CPU per row provisioned, against a bare aiohttp create", OURS, AIOHTTP, 1.5, 2.0),
)


def table(measured: Measured) -> str:
    """Return the measured rows as a Markdown table."""
    lines = ["| what | figure | spread | goal | first bar | |", "|---|---|---|---|---|---|"]
    lines += [_line(goal, goal.figures(measured)) for goal in GOALS if goal.row in measured]
    return "\n".join(lines)


def _line(goal: Goal, figures: list[float]) -> str:
    figure = median(figures)
    verdict = "reached" if figure <= goal.goal else "first bar" if figure <= goal.bar else "missed"
    spread = f"{min(figures):.2f} to {max(figures):.2f}" if len(figures) > 1 else "one round"
    bounds = f"{goal.goal:.3g}{goal.unit} | {goal.bar:.3g}{goal.unit}"
    return f"| {goal.what} | **{figure:.3g}{goal.unit}** | {spread} | {bounds} | {verdict} |"

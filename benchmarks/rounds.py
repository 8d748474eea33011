"""Interleaved rounds: every contender makes its calls in turn, then all of them again."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Row, contender, one value for each round.
Measured = dict[str, dict[str, list[float]]]


@frozen
class Scale:
    """How much to measure: everything, or just enough to check that it runs."""

    rounds: int
    share: float

    def of(self, count: int) -> int:
        """Return how many of `count` calls to make, at least a hundred."""
        return max(100, round(count * self.share))


class Worker:
    """A contender's process."""

    def __init__(self, peer: str, url: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.worker", peer, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, operation: str, count: int, in_flight: int = 1) -> dict[str, float]:
        """Make calls and return the cost of one in seconds; for a count of zero, its function calls."""
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        order = {"operation": operation, "count": count, "in_flight": in_flight}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._process:  # closes its pipes, which ends it, and waits
            pass


@frozen
class Order:
    """The calls that each contender makes in each round."""

    operation: str
    in_flight: int
    counts: Mapping[str, int]


def interleave(url: str, order: Order, scale: Scale) -> dict[str, list[dict[str, float]]]:
    """Return what each contender's calls cost, round by round, after a round that only warms up."""
    answers: dict[str, list[dict[str, float]]] = {peer: [] for peer in order.counts}
    with ExitStack() as stack:
        workers = {peer: stack.enter_context(Worker(peer, url)) for peer in order.counts}
        for worker in workers.values():
            worker.ask(order.operation, max(100, 2 * order.in_flight), order.in_flight)
        for _ in range(scale.rounds):
            for peer, worker in workers.items():
                count = scale.of(order.counts[peer])
                answers[peer].append(worker.ask(order.operation, count, order.in_flight))
    return answers


def column(answers: Mapping[str, Iterable[Mapping[str, Any]]], name: str) -> dict[str, list[float]]:
    """Return one figure, by contender and round."""
    return {peer: [answer[name] for answer in asked] for peer, asked in answers.items()}

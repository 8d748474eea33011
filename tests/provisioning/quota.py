"""What a server saw of a run: how full its rate-limit windows were."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def most_in_a_window(times: Sequence[float], seconds: float) -> int:
    """Return how many requests at most arrived within one window, wherever it begins."""
    begin = most = 0
    for end, time in enumerate(times):
        while times[begin] <= time - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def share_used(lives: Sequence[Sequence[float]], rate: float) -> float:
    """Return which share of a rate was used between the first request and the last of each life."""
    return sum(len(times) - 1 for times in lives) / rate / sum(times[-1] - times[0] for times in lives)


def longest_pause(times: Sequence[float]) -> float:
    """Return the most seconds between two requests that follow each other."""
    return max(after - before for before, after in pairwise(times))

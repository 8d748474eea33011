"""Retry rules and rate limit: what each attempt asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plivo_endpoints._config import RateLimit
from plivo_endpoints._errors import ServerError
from plivo_endpoints._resources.endpoints import GET
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints._sansio.retry import AttemptClass, RetryBudget, RetryHistory, RetryPolicy

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


def test_retry_after_a_failure(benchmark: BenchmarkFixture) -> None:
    """Class and pause of an attempt that a server failed."""
    policy, error = RetryPolicy(), ServerError("down", status=503, api_id=None, method="GET", path="p")

    def decide() -> AttemptClass:
        history = RetryHistory(policy, RetryBudget(), 3)
        history.begin()
        return history.judge(GET, error, 0.5).kind

    assert benchmark(decide) is AttemptClass.AMBIGUOUS


def test_a_full_window_lets_one_through(benchmark: BenchmarkFixture) -> None:
    """One place becomes free, is taken, and is given back, with as many remembered as the default allows."""
    limit = RateLimit()
    window = SlidingWindow(limit)
    step = limit.seconds / limit.requests
    now = 0.0

    def pass_through() -> float:
        nonlocal now
        now += 1.01 * step
        reserved = window.reserve(now)
        window.settle(now)
        return now - reserved

    for _ in range(limit.requests):
        pass_through()
    assert benchmark(pass_through) == 0.0

"""Rows about long lists: time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.peers import OURS, SDK
from benchmarks.servers import raw_server

if TYPE_CHECKING:
    from benchmarks.rounds import Measured, Scale

PREFETCHES: Final = (0, 2, 4, 8, 16, 32)
_LATENCY: Final = 0.05  # seconds a page
_SAMPLES: Final = 50


def list_time(scale: Scale) -> Measured:
    """Seconds to walk 20,000 endpoints at 50 ms a page; one round, since nearly all of it is waiting."""
    total = scale.of(20_000)
    measured: Measured = {}
    with raw_server(delay=_LATENCY, total=total) as url:
        for prefetch in PREFETCHES:
            measured[f"list-time-{prefetch}"] = {OURS: [_walk(OURS, url, prefetch, total)["seconds"][0]]}
        alone = _walk(SDK, url, 0, total)["seconds"]
    for row in measured.values():
        row[SDK] = alone
    return measured


def list_memory(scale: Scale) -> Measured:
    """MB of peak memory that a walk over 100,000 endpoints adds to that of its first page."""
    total = scale.of(100_000)
    measured: Measured = {"list-memory": {}}
    with raw_server(total=total) as url:
        for peer in (OURS, SDK):
            walk = _walk(peer, url, 16, total)
            measured["list-memory"][peer] = [walk["peaks"][-1] - walk["peaks"][0]]
            measured.setdefault("memory-along", {})[peer] = walk["resident"]
    return measured


def _walk(peer: str, url: str, prefetch: int, total: int) -> dict[str, list[float]]:
    step = max(20, total // _SAMPLES)
    command = [sys.executable, "-m", "benchmarks.walker", peer, url, str(prefetch), str(step)]
    result: dict[str, list[float]] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout  # noqa: S603
    )
    return result

"""Runs a contender in its own process: `python -m benchmarks.worker PEER URL`.

It reads one JSON object per line, `{"operation", "count", "in_flight"}`, makes those calls and writes their
cost. With a count of zero, it counts the function calls of one call instead.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.peers import WITH_SPEED
from benchmarks.servers import pin
from benchmarks.workloads import Workload, start


def _hide_speed() -> None:
    # None in sys.modules makes an import fail as if it were not installed.
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]


def _measure(workload: Workload, operation: str, count: int, in_flight: int) -> dict[str, object]:
    if count == 0:
        return {"calls": workload.count_calls(operation)}
    cpu, wall = time.process_time(), time.perf_counter()
    seconds = workload.run(operation, count, in_flight)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    seconds.sort()
    return {
        "cpu": cpu / count,
        "wall": wall / count,
        "median": seconds[count // 2],
        "p99": seconds[count * 99 // 100],
    }


def main() -> None:
    """Measure what each line of the input requests."""
    peer, url = sys.argv[1:]
    if peer not in WITH_SPEED:
        _hide_speed()
    pin(0, 0)
    workload = start(peer, url)
    for line in sys.stdin:
        print(json.dumps(_measure(workload, **json.loads(line))), flush=True)
    workload.close()


if __name__ == "__main__":
    main()

"""Use of Plivo's quota across restarts: `python -m benchmarks.quota [kills] [seconds]`.

Applies a file at the client's default rate and kills the process after so many seconds of work, again and
again. Prints what the sandbox saw: the fullest window of 5 seconds, and the share of the quota that creates
used between the first and the last one of each process.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plivo_endpoints.sandbox import Sandbox
from tests.provisioning.killloop import life, write_rows
from tests.provisioning.quota import longest_pause, most_in_a_window, share_used

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plivo_endpoints.sandbox import RequestRecord

QUOTA: Final = 300
WINDOW: Final = 5.0  # seconds


def main(kills: int = 7, seconds: int = 15) -> None:
    """Run it in a temporary folder and print the result."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        lives = list(_live(sandbox, Path(folder), kills, seconds))
    times = [request.at.timestamp() for requests in lives for request in requests]
    creates = [[request.at.timestamp() for request in each if request.method == "POST"] for each in lives]
    for name, value in {
        "kills": kills,
        "seconds": round(times[-1] - times[0], 1),
        "requests": len(times),
        f"fullest {WINDOW:g} s": most_in_a_window(times, WINDOW),
        "share used": round(share_used(creates, QUOTA / WINDOW), 4),
        "share used by life": [round(share_used([each], QUOTA / WINDOW), 4) for each in creates],
        "longest pause by life": [round(longest_pause(each), 2) for each in creates],
    }.items():
        print(f"{name}: {value}")


def _live(sandbox: Sandbox, folder: Path, kills: int, seconds: int) -> Iterator[Sequence[RequestRecord]]:
    """Apply and kill repeatedly; yield the requests of each process."""
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    csv = write_rows(folder, kills * seconds * 2 * QUOTA // int(WINDOW))
    order = {
        "csv": str(csv),
        "state": str(folder / "run.db"),
        "url": sandbox.base_url,
        "auth_id": sandbox.auth_id,
        "auth_token": sandbox.auth_token,
        "settle": 5.0,
        "limited": True,
        "step": None,
        "count": 0,
        "broken": None,
        "options": {},
    }
    before = 0
    for number in range(kills):
        waits = WINDOW if number else 0.0  # the window of the process before
        life(order, waits + seconds * chance.uniform(0.8, 1.2))
        requests = sandbox.requests
        yield requests[before:]
        before = len(requests)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

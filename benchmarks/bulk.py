"""The provisioning row: thousands of endpoints, each created exactly once, and the cost of the state."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import AIOHTTP, OURS
from benchmarks.servers import pin

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.rounds import Measured, Scale


def provisioning(scale: Scale) -> Measured:
    """CPU per row for 5,000 rows, including state, reconciliation and audit."""
    measured: dict[str, list[float]] = {OURS: [], AIOHTTP: []}
    with tempfile.TemporaryDirectory() as folder:
        path = _write_rows(Path(folder), scale.of(5_000))
        for _ in range(scale.rounds):
            for peer, values in measured.items():
                with _account() as url:
                    values.append(_run(peer, url, path))
    return {"provision": measured}


def _write_rows(folder: Path, count: int) -> Path:
    path = folder / "users.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["key", "username", "alias", "password"])
        rows.writerows([f"k{n}", f"user{n}", f"desk {n}", f"s3cret-{n}"] for n in range(count))
    return path


@contextmanager
def _account() -> Generator[str]:
    command = [sys.executable, "-m", "benchmarks.account"]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            pin(process.pid, -1)
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _run(peer: str, url: str, path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.provisioner", peer, url, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)  # noqa: S603
    seconds: float = json.loads(done.stdout)
    return seconds

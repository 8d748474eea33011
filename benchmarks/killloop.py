"""A longer run of the tests' kill loop: `python -m benchmarks.killloop [rows] [kills] [seed]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from attrs import asdict

from tests.provisioning.killloop import Loop, run


def main(rows: int = 50_000, kills: int = 500, seed: int = 1) -> None:
    """Run it in a temporary folder and print the result."""
    with tempfile.TemporaryDirectory() as folder:
        # On average, a kill comes after half of `reach` and what is in flight, so all come before the end.
        loop = Loop(rows=rows, kills=kills, seed=seed, folder=Path(folder), reach=max(60, rows // kills))
        for name, value in asdict(run(loop)).items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

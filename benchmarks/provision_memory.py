"""How much memory 100,000 rows take: `python benchmarks/provision_memory.py [rows]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests are no package that is installed

from tests.provisioning.measured_run import measure


def main(rows: int = 100_000) -> None:
    """Apply them, without the rate limit, and print the megabytes and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        print(measure(Path(folder), rows, applies=True))  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

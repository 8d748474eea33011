"""Memory that provisioning 100,000 rows takes: `python -m benchmarks.provision_memory [rows]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.provisioning.measured_run import measure


def main(rows: int = 100_000) -> None:
    """Apply the rows without a rate limit, and print the megabytes and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        print(measure(Path(folder), rows, applies=True))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

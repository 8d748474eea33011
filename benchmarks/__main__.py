"""Runs all benchmarks: `python -m benchmarks [--quick] [--only GROUP ...] [--output FOLDER]`."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import plivo_endpoints
from benchmarks import bulk, functions, in_flight, layers, startup, walks
from benchmarks.goals import table
from benchmarks.rounds import Measured, Scale
from benchmarks.servers import server_name

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS: Final[dict[str, Callable[[Scale], Measured]]] = {
    "create": in_flight.creates,
    "calls": functions.function_calls,
    "blocking": in_flight.blocking_gets,
    "threads": in_flight.threads,
    "decode": functions.decoding,
    "import": startup.imports,
    "first-call": startup.first_calls,
    "list-time": walks.list_time,
    "list-memory": walks.list_memory,
    "provision": bulk.provisioning,
    "layers": layers.layers,
    "concurrency": in_flight.sweep,
}
_FULL: Final = Scale(rounds=7, share=1.0)
_QUICK: Final = Scale(rounds=2, share=0.05)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="only check that everything runs; the figures mean little"
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for results.json and the plots; results that --only leaves out are kept",
    )
    return parser.parse_args()


def _circumstances() -> dict[str, object]:
    libraries = ("aiohttp", "attrs", "cattrs", "httpx", "plivo", "requests", "uvloop")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "server": server_name(),
        "versions": {name: version(name) for name in libraries},
    }


def _write(folder: Path, measured: Measured, circumstances: dict[str, object]) -> None:
    from benchmarks.plots import draw

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    kept: Measured = json.loads(path.read_text())["measured"] if path.exists() else {}
    results = {"circumstances": circumstances, "measured": kept | measured}
    path.write_text(json.dumps(results, indent=1) + "\n")
    draw(kept | measured, folder)


def main() -> None:
    """Measure, print the table and write the results."""
    arguments = _arguments()
    try:
        circumstances = _circumstances()
    except PackageNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed; for the benchmarks: pip install -e '.[bench]'")
    # An installed package has its bytecode; in a checkout, every process would compile ours anew.
    compileall.compile_dir(Path(plivo_endpoints.__file__).parent, quiet=1)
    measured: Measured = {}
    for group in arguments.only:
        loads = os.getloadavg() if hasattr(os, "getloadavg") else ()
        print(f"{group} (load {', '.join(f'{load:.1f}' for load in loads)})", file=sys.stderr)
        measured |= GROUPS[group](_QUICK if arguments.quick else _FULL)
    print(table(measured))
    if arguments.output is not None:
        _write(arguments.output, measured, circumstances)


if __name__ == "__main__":
    main()

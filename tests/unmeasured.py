"""Programs that coverage does not measure: it goes with neither gevent nor full disks, and slows storms."""

from __future__ import annotations

import os


def unmeasured() -> dict[str, str]:
    """Return this process's environment, without what would have a program measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

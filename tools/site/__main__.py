"""Build the site with Zensical, add what language models read, and check every page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.site import llms
from tools.site.check import find_problems

ROOT: Final = Path(__file__).parents[2]


def main() -> int:
    """Build the site into `site/` and return 0 if nothing is wrong with it."""
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    status = subprocess.run(build, cwd=ROOT, check=False).returncode  # noqa: S603
    if status:
        return status
    site = ROOT / "site"
    (site / "llms.txt").write_text(llms.index(ROOT), "utf-8")
    problems = find_problems(site)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(list(site.rglob('*.html')))} pages in {site.name}/, {len(problems)} problems")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main())

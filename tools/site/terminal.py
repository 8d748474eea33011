"""Draw what a terminal shows: `tmux capture-pane -ep | python -m tools.site.terminal > PICTURE.svg`.

`docs/images/provision-apply.svg` is a run in a terminal of 70 columns, on a sandbox that loses one answer in
twenty: `sandbox.inject(Fault(applied=True, reset=True), method="POST", path="Endpoint/", rate=0.05)`.
"""

from __future__ import annotations

import re
import sys
from io import StringIO

from rich.console import Console
from rich.text import Text


def draw(shown: str) -> str:
    """Return text with escape codes for colours as SVG: a dark terminal, which suits a light page too."""
    text = Text.from_ansi(shown.rstrip())
    width = max(map(len, text.plain.splitlines()))
    console = Console(record=True, width=width, file=StringIO())
    console.print(text)
    picture = console.export_svg(title="plivo-endpoints", unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # fonts of another host


if __name__ == "__main__":
    print(draw(sys.stdin.read()))

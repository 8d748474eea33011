"""Draw what a terminal shows: `tmux capture-pane -ep | python -m tools.site.terminal > PICTURE.svg`."""

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

"""The code on a page of the documentation, as one shell script that does what a reader would do.

Blocks run in the order of the page, in an empty folder:

- A block that begins with a comment that names a file (`# app.py`) is saved as that file.
- Other Python blocks are programs of their own. Blocks of shell commands share one shell.
- A block of text after either is part of what it prints, but for numbers and the width of columns.
- What cannot run has a comment before it that says why: `<!-- not run: it needs Docker -->`.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Final

from attrs import frozen

DOCS: Final = Path(__file__).parents[2] / "docs"
_BLOCK: Final = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_FILE_NAME: Final = re.compile(r"(?:#|//|<!--) (?P<name>[\w./-]+\.\w+)(?: -->)?$", re.MULTILINE)
_RUN: Final = {"python", "sh"}
_MARK: Final = "=== end of block "


@frozen(kw_only=True)
class Block:
    """Code or text on a page."""

    language: str
    code: str
    line: int
    reason: str | None = None

    @property
    def file_name(self) -> str | None:
        """The file that its first line names."""
        found = _FILE_NAME.match(self.code)
        return found["name"] if found and self.language != "text" else None

    @property
    def runs(self) -> bool:
        """Whether it is a program."""
        return self.reason is None and self.language in _RUN and self.file_name is None


@frozen
class Page:
    """A page of the documentation."""

    path: Path
    blocks: list[Block]

    @classmethod
    def read(cls, path: Path) -> Page:
        """Read the blocks of a page."""
        text = path.read_text("utf-8")
        return cls(path, [_read_block(found, text) for found in _BLOCK.finditer(text)])

    def __str__(self) -> str:
        return str(self.path.relative_to(DOCS))

    @property
    def script(self) -> str:
        """What a reader types, with a mark after each block that runs."""
        lines = ["set -euo pipefail", "pip() { :; }  # all that the tests need is installed"]
        for block in self.blocks:
            if block.reason is None and block.file_name is not None:
                lines.append(_save(block, block.file_name))
            elif block.runs:
                lines += [_run(block), f"echo; echo {shlex.quote(_MARK + str(block.line))}"]
        return "\n".join(lines) + "\n"

    def missing(self, printed: str) -> list[str]:
        """Return the blocks that were not reached, and the text that the block before did not print."""
        output = _outputs(printed)
        wrong = [
            f"line {block.line} was not reached"
            for block in self.blocks
            if block.runs and block.line not in output
        ]
        for block, text in zip(self.blocks, self.blocks[1:], strict=False):
            if block.runs and text.language == "text" and text.reason is None:
                wrong += _missing_lines(text.code, output.get(block.line, ""))
        return wrong


def _read_block(found: re.Match[str], text: str) -> Block:
    indent = found["indent"]
    code = "".join(line.removeprefix(indent) for line in found["code"].splitlines(keepends=True))
    line = text.count("\n", 0, found.start("language")) + 1
    return Block(language=found["language"], code=code, line=line, reason=found["reason"])


def _save(block: Block, name: str) -> str:
    folder = Path(name).parent
    return f"mkdir -p {folder}\ncat > {name} <<'END OF FILE'\n{block.code}END OF FILE"


def _run(block: Block) -> str:
    if block.language == "python":
        return f"{shlex.quote(sys.executable)} -W error - <<'END OF PROGRAM'\n{block.code}END OF PROGRAM"
    return block.code


def _outputs(printed: str) -> dict[int, str]:
    parts = re.split(rf"^{_MARK}(\d+)$", printed, flags=re.MULTILINE)
    return {int(line): output for output, line in zip(parts[::2], parts[1::2], strict=False)}


def _missing_lines(expected: str, output: str) -> list[str]:
    remaining = iter([_comparable(line) for line in output.splitlines()])
    return [line for line in expected.splitlines() if _comparable(line) not in remaining]


def _comparable(line: str) -> str:
    return re.sub(r"\d+", "0", " ".join(line.split()))

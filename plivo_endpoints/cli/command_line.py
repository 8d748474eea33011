"""Command lines for people to paste."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM: Final = "plivo-endpoints"


def command_line(words: Iterable[str], *, base_url: str | None = None) -> str:
    """Return a line that runs this program with these words, as a shell reads it."""
    server = () if base_url is None else ("--base-url", base_url)
    return " ".join([_program(), *map(quote, (*words, *server))])


def quote(word: str) -> str:
    """Quote a word for a shell.

    What is not printable ASCII is written out byte by byte, for bash, zsh and ksh to read: nothing steers the
    terminal, and what is pasted is exactly what was meant, whatever either of them can show.
    """
    if word.isascii() and word.isprintable():
        return shlex.quote(word)
    raw = word.encode(errors="surrogateescape")
    return "$'" + "".join(chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in raw) + "'"


def _is_plain(byte: int) -> bool:
    return ord(" ") <= byte <= ord("~") and byte not in b"\\'"


def _program() -> str:
    if getattr(sys, "frozen", False):  # by PyInstaller and the like: no Python, but the program itself
        return shlex.quote(sys.executable)
    # In a virtual environment that is not activated the shell does not find it by name, or finds another's.
    found, here = shutil.which(PROGRAM), Path(sys.executable).parent.resolve()
    if found is not None and Path(found).resolve().parent == here:
        return PROGRAM
    return f"{shlex.quote(sys.executable)} -m plivo_endpoints"

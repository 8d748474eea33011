"""Command lines that people can paste."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM: Final = "plivo-endpoints"


def command_line(words: Iterable[str], *, base_url: str | None = None) -> str:
    """Return a shell command line that runs this program with these arguments."""
    server = () if base_url is None else ("--base-url", base_url)
    return " ".join([_program(), *map(quote, (*words, *server))])


def quote(word: str) -> str:
    r"""Quote a word for a shell.

    If it is not printable ASCII, its other bytes become `\x` escapes, which bash, zsh and ksh understand. So
    it cannot control the terminal, and can be pasted unchanged whatever the terminal can display.
    """
    if word.isascii() and word.isprintable():
        return shlex.quote(word)
    raw = word.encode(errors="surrogateescape")
    return "$'" + "".join(chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in raw) + "'"


def _is_plain(byte: int) -> bool:
    return ord(" ") <= byte <= ord("~") and byte not in b"\\'"


def _program() -> str:
    if getattr(sys, "frozen", False):  # by PyInstaller, for example: the executable is this program
        return shlex.quote(sys.executable)
    # If the virtual environment is not activated, the shell finds no command or that of another environment.
    # uv, which sets UV, activates one for this process only.
    found, here = shutil.which(PROGRAM), Path(sys.executable).parent.resolve()
    if "UV" not in os.environ and found is not None and Path(found).resolve().parent == here:
        return PROGRAM
    return f"{shlex.quote(sys.executable)} -m plivo_endpoints"

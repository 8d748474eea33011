"""Open a source file as text, compressed or not, in any encoding; detect files that are not text."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

_LONGEST_LINE: Final = 64 * 1024  # characters
_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableError(Exception):
    """A file cannot be read any further.

    Attributes:
        line: The line; 0 if the file as a whole is concerned.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


class PrivateCopy(os.PathLike[str]):
    """A copy of a stream that can be read only once; its path is the name shown in errors.

    It contains passwords, so it is an unnamed file, which disappears when the process ends in any way.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._name = name
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        shutil.copyfileobj(stream, self._file)

    def __fspath__(self) -> str:
        return self._name

    def open(self) -> io.BufferedReader:
        """Open it again, from its beginning."""
        return io.BufferedReader(_Reader(self._file))

    def close(self) -> None:
        """Delete it."""
        self._file.close()


class _Reader(io.RawIOBase):
    """Reads a shared file from a position of its own; only one reader may be active at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        self._file.seek(self._position)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def open_text(path: Path | PrivateCopy, encoding: str) -> Generator[TextIO]:
    """Open a file of lines; `*.gz` is decompressed as it is read.

    Bytes that are invalid in this encoding become surrogates, which are not allowed in a field, so the error
    can name the line.

    Raises:
        UnreadableError: It is not a text file; also raised within the block, if that shows later.
    """
    try:
        with _open_bytes(path) as data:
            if reason := _recognise(data.peek(4)[:4], encoding):
                raise UnreadableError(reason)
            decoder = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
            with io.TextIOWrapper(data, decoder, "surrogateescape", newline="") as text:
                yield text
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnreadableError("is not a complete gzip file: compress it again") from None
    except UnicodeError:  # truncated UTF-16, which does not become a surrogate
        raise UnreadableError(f"is not valid {encoding}: pass the right encoding") from None


def _open_bytes(path: Path | PrivateCopy) -> gzip.GzipFile | io.BufferedReader:
    if isinstance(path, PrivateCopy):
        return path.open()
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _recognise(head: bytes, encoding: str) -> str | None:
    """Return why a file that begins with `head` cannot be read, or `None` if it may be text."""
    if head == _ZIP:
        return "is an Excel workbook (xlsx) or another zip file: save the sheet as CSV"
    if head.startswith(_GZIP):
        return "is compressed with gzip: let its name end in .gz, or decompress it"
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return None
    # A header and JSON begin with an ASCII character, so only the wider encodings have a NUL byte here.
    if head.startswith(_UTF_16) or b"\0" in head:
        return "is UTF-16: save it as UTF-8, or pass its encoding (--encoding utf-16)"
    return None


def encoding_problem(encoding: str) -> str | None:
    """Return why an encoding cannot be used, or `None` if it can."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding).close()
    except (LookupError, TypeError, ValueError):
        return "must be a text encoding that Python knows, such as utf-8, utf-16 or cp1252"
    return None


def read_lines(file: TextIO) -> Iterator[str]:
    """Yield the lines; raise `UnreadableError` if one is so long that it could fill the memory."""
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UnreadableError(f"is longer than {_LONGEST_LINE} characters; the rest was not read", number)
        yield line

"""Files of rows: CSV and JSON lines, read one line at a time."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from plivo_endpoints.provisioning._rows import Problem, Row, fault_of_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

_REQUIRED: Final = ("username", "alias")
_KNOWN: Final = (*_REQUIRED, "password", "app_id", "key")
_NO_CELLS: Final[list[str]] = []  # an empty file has no header
_BETWEEN: Final = re.compile(r"[,;|\t]")  # what columns may be meant to be separated by
_SHOWN: Final = 80  # characters of a header that is not one
_LONGEST_LINE: Final = 64 * 1024  # characters


class CsvSource:
    """A CSV file, UTF-8, whose first line names the columns: `username`, `alias`, and as wanted `password`,
    `app_id` and `key` (the username without it), in any order. An empty cell counts as absent.
    """  # noqa: D205 - the columns are the sentence

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path: Path = Path(path)

    def __iter__(self) -> Iterator[Row | Problem]:
        with _open(self.path) as file:
            yield from _read_csv(file)


class JsonlSource:
    """A file with one JSON object per line, UTF-8, with the fields of `CsvSource`'s columns, all strings."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path: Path = Path(path)

    def __iter__(self) -> Iterator[Row | Problem]:
        with _open(self.path) as file:
            line = 0
            while text := file.readline(_LONGEST_LINE + 1):
                line += 1
                if len(text) > _LONGEST_LINE:
                    yield Problem(line, f"is longer than {_LONGEST_LINE} characters; the rest was not read")
                    return
                if text.strip():
                    yield _read_json(text, line)


def _open(path: Path) -> TextIO:
    # Bytes that are not UTF-8 become surrogates, which a field may not hold: so the line can be named.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_csv(file: TextIO) -> Iterator[Row | Problem]:
    reader = csv.reader(file, strict=True)
    try:
        columns = [name.strip() for name in next(reader, _NO_CELLS)]
        if reason := _fault_of_columns(columns):
            yield Problem(1, reason)
            return
        begins = reader.line_num + 1
        for cells in reader:
            if cells:
                yield _read_cells(columns, cells, begins)
            begins = reader.line_num + 1
    except csv.Error as error:  # a quote that never closes, mostly
        yield Problem(reader.line_num, f"is not CSV ({error}); the rest was not read")


def _fault_of_columns(columns: list[str]) -> str | None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        found = _name_header(columns)
        return f"must name the columns, with commas between; missing: {', '.join(missing)}{found}"
    if len(set(columns)) < len(columns):
        return "names a column twice"
    # A misspelt `pasword` must not turn into derived passwords.
    unknown = ", ".join(repr(name) for name in columns if name not in _KNOWN)
    return f"there is no column {unknown}; known are {', '.join(_KNOWN)}" if unknown else None


def _name_header(columns: list[str]) -> str:
    """Quote a first line if it means to be a header: if it does not, it is a row, and may hold a password."""
    line = ",".join(columns)
    names = {name.strip() for name in _BETWEEN.split(line.lower())}
    return "" if names.isdisjoint(_REQUIRED) else f"; found {line[:_SHOWN]!r}"


def _read_cells(columns: list[str], cells: list[str], line: int) -> Row | Problem:
    if len(cells) != len(columns):
        return Problem(line, f"has {len(cells)} cells where {len(columns)} columns are named")
    return _row(dict(zip(columns, cells, strict=True)), line)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as it is written, in which a name can come twice."""


def _read_json(text: str, line: int) -> Row | Problem:
    try:
        content: object = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return Problem(line, "is not JSON")
    if not isinstance(content, _Pairs):
        return Problem(line, "is not a JSON object")
    fields = dict(content)
    if len(fields) < len(content):
        return Problem(line, "names a field twice")
    if unknown := ", ".join(repr(name) for name in fields if name not in _KNOWN):
        return Problem(line, f"there is no field {unknown}; known are {', '.join(_KNOWN)}")
    given = {name: value for name, value in fields.items() if value is not None}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    if len(texts) < len(given):
        name = next(name for name in given if name not in texts)
        return Problem(line, f"{name}: must be a string")
    return _row(texts, line)


def _row(texts: Mapping[str, str], line: int) -> Row | Problem:
    for name, text in texts.items():
        if reason := fault_of_text(text):
            return Problem(line, f"{name}: {reason}")
    for name in _REQUIRED:
        if not texts.get(name):
            return Problem(line, f"{name}: is missing")
    return Row(
        key=texts.get("key") or texts["username"],
        username=texts["username"],
        alias=texts["alias"],
        password=texts.get("password") or None,
        app_id=texts.get("app_id") or None,
        line=line,
    )

"""Sources of rows: CSV and JSON Lines files, read one line at a time, and collections."""

from __future__ import annotations

import csv
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from attrs import asdict

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import require
from plivo_endpoints.provisioning._rows import KNOWN, REQUIRED, Problem, Row, row_of
from plivo_endpoints.provisioning._text_file import (
    PrivateCopy,
    UnreadableError,
    encoding_problem,
    open_text,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from os import PathLike

    from plivo_endpoints.provisioning._rows import RowSource, Source

_NO_CELLS: Final[list[str]] = []  # an empty file has no header
_DELIMITERS: Final = re.compile(r"[,;|\t]")  # common delimiters, to suggest the one that was meant
_SHOWN: Final = 80  # characters of a faulty header in a message
_NO_DELIMITERS: Final = ('"', "\r", "\n")


class _FileSource(ABC):
    """A file of rows; each iteration reads it from the beginning."""

    def __init__(self, path: str | PathLike[str], encoding: str) -> None:
        require("encoding", encoding_problem(encoding))
        self.path: Path | PrivateCopy = path if isinstance(path, PrivateCopy) else Path(path)
        self.encoding: str = encoding

    def __iter__(self) -> Iterator[Row | Problem]:
        try:
            with open_text(self.path, self.encoding) as file:
                yield from self._read(file)
        except UnreadableError as error:
            yield Problem(error.line, str(error))

    @abstractmethod
    def _read(self, file: TextIO) -> Iterator[Row | Problem]: ...


class CsvSource(_FileSource):
    """A CSV file whose first line names the columns.

    The columns are `username` and `alias`, and optionally `password`, `password_version`, `app_id` and `key`
    (the username by default), in any order. An empty cell counts as absent. A line without any text is
    ignored.

    Args:
        path: The file; `*.gz` is decompressed as it is read.
        delimiter: The character between cells.
        encoding: The file's encoding.
        ignore_columns: Names of columns to ignore. Any other unknown column is an error: a misspelt `pasword`
            must not lead to derived passwords.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        delimiter: str = ",",
        encoding: str = "utf-8",
        ignore_columns: Collection[str] = (),
    ) -> None:
        super().__init__(path, encoding)
        if len(delimiter) != 1 or delimiter in _NO_DELIMITERS:
            raise InvalidArgumentError("delimiter", "must be one character other than a quote or line break")
        if isinstance(ignore_columns, str):
            raise InvalidArgumentError("ignore_columns", "must be a collection of names, not one string")
        self._delimiter = delimiter
        self._ignored = frozenset(ignore_columns)

    def _read(self, file: TextIO) -> Iterator[Row | Problem]:
        lines = _QuotedLines(read_lines(file))
        reader = csv.reader(lines, strict=True, delimiter=self._delimiter)
        try:
            columns = [name.strip() for name in next(reader, _NO_CELLS)]
            if reason := self._fault_of(columns):
                yield Problem(1, reason)
                return
            begin = lines.begin_record()
            for cells in reader:
                if any(map(str.strip, cells)):
                    yield self._read_cells(columns, cells, begin)
                begin = lines.begin_record()
        except csv.Error as error:
            yield lines.locate(error)

    def _fault_of(self, columns: list[str]) -> str | None:
        kept = [name for name in columns if name not in self._ignored]
        if missing := [name for name in REQUIRED if name not in kept]:
            delimiter = "commas" if self._delimiter == "," else repr(self._delimiter)
            found = _name_header(columns, self._delimiter)
            return f"must name the columns, separated by {delimiter}; missing: {', '.join(missing)}{found}"
        if len(set(kept)) < len(kept):
            return "names a column twice"
        if unknown := [name for name in kept if name not in KNOWN]:
            return (
                f"unknown column {', '.join(map(repr, unknown))}; known columns are {', '.join(KNOWN)}; "
                "to ignore a column: --ignore-column NAME, or ignore_columns= in Python"
            )
        return None

    def _read_cells(self, columns: list[str], cells: list[str], line: int) -> Row | Problem:
        if len(cells) != len(columns):
            return Problem(line, f"has {len(cells)} cells, but the header has {len(columns)} columns")
        pairs = zip(columns, cells, strict=True)
        return row_of({name: cell for name, cell in pairs if name not in self._ignored}, line)


def _name_header(columns: list[str], delimiter: str) -> str:
    """Quote the first line if it looks like a header; otherwise it is a row and may contain a password."""
    line = delimiter.join(columns)
    names = {name.strip() for name in _DELIMITERS.split(line.lower())}
    if names.isdisjoint(REQUIRED):
        return ""
    other = next((each for each in _DELIMITERS.findall(line) if each != delimiter), None)
    hint = f"; if {other!r} separates them, pass it as the delimiter (--delimiter)" if other else ""
    return f"; found {line[:_SHOWN]!r}{hint}"


class _QuotedLines:
    """Passes lines to a CSV reader and records where a quote opens; the reader only knows where it failed."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._number = 0
        self._open_at = 0  # line of the quote that is still open after the current line; 0 if there is none
        self._open_before = 0  # line of the quote that was open before the current line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._open_before = self._open_at
        line = next(self._lines)
        self._number += 1
        if '"' in line and (quotes := line.replace('""', "").count('"')):  # a doubled quote is an escaped one
            is_open = bool(self._open_at) != bool(quotes % 2)
            self._open_at = self._number if is_open else 0
        return line

    def begin_record(self) -> int:
        """Return the number of the next line, which begins a record."""
        self._open_at = 0
        return self._number + 1

    def locate(self, error: csv.Error) -> Problem:
        """Return the problem that caused a reader's error."""
        if self._open_before:
            return Problem(self._open_before, "opens a quote that is never closed; the rest was not read")
        return Problem(self._number, f"is not valid CSV ({error}); the rest was not read")


class JsonlSource(_FileSource):
    """A file with one JSON object per line; the fields are the columns of `CsvSource`, all of them strings.

    Args:
        path: The file; `*.gz` is decompressed as it is read.
        encoding: The file's encoding.
    """

    def __init__(self, path: str | PathLike[str], *, encoding: str = "utf-8") -> None:
        super().__init__(path, encoding)

    def _read(self, file: TextIO) -> Iterator[Row | Problem]:
        for line, text in enumerate(read_lines(file), 1):
            if text.strip():
                yield _read_json(text, line)


class _Pairs(list[tuple[str, object]]):
    """A JSON object as written, in which a name can appear twice."""


def _read_json(text: str, line: int) -> Row | Problem:
    try:
        content: object = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return Problem(line, "is not valid JSON")
    if not isinstance(content, _Pairs):
        return Problem(line, "is not a JSON object")
    fields = dict(content)
    return row_of(fields, line, ("names a field twice",) if len(fields) < len(content) else ())


class _CollectionSource:
    """Rows and mappings in memory, or from the caller's own source object."""

    def __init__(self, items: Iterable[object]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Row | Problem]:
        for number, item in enumerate(self._items, 1):
            yield _read_item(item, number)


def _read_item(item: object, number: int) -> Row | Problem:
    if isinstance(item, Problem):
        return item
    if isinstance(item, Row):
        texts = [item.username, item.alias, item.key]
        texts += [text for text in (item.password, item.app_id) if text is not None]
        if {type(text) for text in texts} == {str}:
            return item
        fields = asdict(item)
        return row_of(fields, fields.pop("line") or number)
    if isinstance(item, Mapping):
        return row_of(cast("Mapping[Any, object]", item), number)
    return Problem(number, "is neither a Row nor a mapping")


def source_of(source: Source) -> RowSource:
    """Return the source object for what a caller passed as a source.

    Raises:
        InvalidArgumentError: It is not a valid source, or can be read only once.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return JsonlSource(path) if is_json_lines(path) else CsvSource(path)
    if isinstance(source, _FileSource):
        return source
    require("source", _source_problem(source))
    return _CollectionSource(cast("Iterable[object]", source))


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON Lines according to its name."""
    return path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def _source_problem(source: object) -> str | None:
    kind = type(source)
    if isinstance(source, (Client, AsyncClient)):
        return "must be rows, not a client: the client is the first argument, the source the second"
    if isinstance(source, AsyncIterable):
        return "must not be an async iterable, as it is read in a thread: collect its rows in a list first"
    if isinstance(source, Iterator):
        return "must be readable more than once: pass a list of its items, or the path of a file"
    if hasattr(kind, "columns") and hasattr(kind, "shape"):
        return 'must be rows, not a data frame: pass df.to_dict("records") (pandas) or df.to_dicts() (polars)'
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        return f"must be a path, a source object, or a list of rows or mappings, not {kind.__name__}"
    return None

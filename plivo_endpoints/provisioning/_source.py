"""Where rows come from: CSV and JSON lines, read one line at a time, and collections."""

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
_BETWEEN: Final = re.compile(r"[,;|\t]")  # what columns may be meant to be separated by
_SHOWN: Final = 80  # characters of a header that is not one
_NO_DELIMITERS: Final = ('"', "\r", "\n")


class _FileSource(ABC):
    """A file of rows. Begun again, it is read again."""

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

    They are `username` and `alias`, and as wanted `password`, `password_version`, `app_id` and `key` (the
    username without it), in any order. An empty cell counts as absent, and a line without any text as blank.

    Args:
        path: The file; `*.gz` is decompressed as it is read.
        delimiter: What separates the cells.
        encoding: The file's encoding.
        ignore_columns: Names of columns to ignore. Any other column that is not known is refused: a
            misspelt `pasword` must not turn into derived passwords.
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
            raise InvalidArgumentError("delimiter", "must be one character, and no quote or end of a line")
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
            between = "commas" if self._delimiter == "," else repr(self._delimiter)
            found = _name_header(columns, self._delimiter)
            return f"must name the columns, with {between} between; missing: {', '.join(missing)}{found}"
        if len(set(kept)) < len(kept):
            return "names a column twice"
        if unknown := [name for name in kept if name not in KNOWN]:
            return (
                f"there is no column {', '.join(map(repr, unknown))}; known are {', '.join(KNOWN)}; "
                "to ignore a column: --ignore-column NAME, or ignore_columns= in Python"
            )
        return None

    def _read_cells(self, columns: list[str], cells: list[str], line: int) -> Row | Problem:
        if len(cells) != len(columns):
            return Problem(line, f"has {len(cells)} cells where {len(columns)} columns are named")
        pairs = zip(columns, cells, strict=True)
        return row_of({name: cell for name, cell in pairs if name not in self._ignored}, line)


def _name_header(columns: list[str], delimiter: str) -> str:
    """Quote a first line if it means to be a header: if it does not, it is a row, and may hold a password."""
    line = delimiter.join(columns)
    names = {name.strip() for name in _BETWEEN.split(line.lower())}
    if names.isdisjoint(REQUIRED):
        return ""
    other = next((each for each in _BETWEEN.findall(line) if each != delimiter), None)
    hint = f"; if {other!r} separates them, pass it as the delimiter (--delimiter)" if other else ""
    return f"; found {line[:_SHOWN]!r}{hint}"


class _QuotedLines:
    """Hands lines to a CSV reader and notices where a quote opens: the reader reports where it gave up."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._number = 0
        self._open_at = 0  # the line with the quote that is open after this one; 0 for none
        self._open_before = 0  # likewise before this one

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._open_before = self._open_at
        line = next(self._lines)
        self._number += 1
        if '"' in line and (quotes := line.replace('""', "").count('"')):  # doubled, they stand for one
            is_open = bool(self._open_at) != bool(quotes % 2)
            self._open_at = self._number if is_open else 0
        return line

    def begin_record(self) -> int:
        """Return the number of the line that comes next, with which a record begins."""
        self._open_at = 0
        return self._number + 1

    def locate(self, error: csv.Error) -> Problem:
        """Return what a reader's error is about."""
        if self._open_before:
            return Problem(self._open_before, "opens a quote that does not close; the rest was not read")
        return Problem(self._number, f"is not CSV ({error}); the rest was not read")


class JsonlSource(_FileSource):
    """A file with one JSON object per line: the fields are those of `CsvSource`'s columns, all strings.

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
    """A JSON object as it is written, in which a name can come twice."""


def _read_json(text: str, line: int) -> Row | Problem:
    try:
        content: object = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return Problem(line, "is not JSON")
    if not isinstance(content, _Pairs):
        return Problem(line, "is not a JSON object")
    fields = dict(content)
    return row_of(fields, line, ("names a field twice",) if len(fields) < len(content) else ())


class _CollectionSource:
    """Rows and mappings that are in memory, or come from a source object of the caller's own."""

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
    """Return the rows of what a caller gives as a source.

    Raises:
        InvalidArgumentError: It is none, or can be read only once.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return JsonlSource(path) if is_json_lines(path) else CsvSource(path)
    if isinstance(source, _FileSource):
        return source
    require("source", _source_problem(source))
    return _CollectionSource(cast("Iterable[object]", source))


def is_json_lines(path: Path) -> bool:
    """Whether a file's name says that it holds JSON lines."""
    return path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def _source_problem(source: object) -> str | None:
    kind = type(source)
    if isinstance(source, (Client, AsyncClient)):
        return "must be rows, not a client: the client is the first argument, the source the second"
    if isinstance(source, AsyncIterable):
        return "must not be an async iterable, as it is read in a thread: collect its rows in a list first"
    if isinstance(source, Iterator):
        return (
            "can be read only once, but a source is read several times: pass list(…) of it, or a file's path"
        )
    if hasattr(kind, "columns") and hasattr(kind, "shape"):
        return 'must be rows, not a data frame: pass df.to_dict("records") (pandas) or df.to_dicts() (polars)'
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        return f"must be a path, a CsvSource or the like, or a list of rows or mappings, not {kind.__name__}"
    return None

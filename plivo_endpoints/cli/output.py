"""Three output formats: JSON for programs, tab-separated lines for pipes, tables for terminals.

All of them escape what the server sent, so that it cannot control the terminal or forge a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, cast

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Fields = Mapping[str, object]

_GAP: Final = 2  # spaces between two columns
_MIN_WIDTH: Final = 20  # columns; a smaller width, such as from `COLUMNS=0`, means that it is unknown
_DEFAULT_WIDTH: Final = 80


class Output(Protocol):
    """Prints results."""

    def record(self, fields: Fields) -> None:
        """Print one record."""
        ...

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print records page by page as they arrive; text formats show these columns only."""
        ...


class JsonOutput:
    """One document. If a list fails half-way, the document is left open, so that it cannot look complete."""

    def record(self, fields: Fields) -> None:
        """Print an object."""
        _print(to_json(fields))

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print an array of objects with all their fields; the columns are ignored."""
        del columns
        array = JsonArray()
        for page in pages:
            for fields in page:
                array.add(fields)
        array.end()


class JsonArray:
    """An array that is printed item by item; it is not valid JSON until `end`."""

    def __init__(self) -> None:
        self._before = "["

    def add(self, fields: Fields) -> None:
        """Print an object."""
        _print(self._before + to_json(fields), end="")
        self._before = ",\n "

    def end(self) -> None:
        """Close the array."""
        _print("[]" if self._before == "[" else "]")


class LineOutput:
    """Lines of tab-separated values without a header, as `cut`, `sort` and `while read` expect them."""

    def record(self, fields: Fields) -> None:
        """Print a line for each field that has a value: its name and the value."""
        for name, value in _known(fields):
            _print(f"{name}\t{value}")

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print a line for each record."""
        for page in pages:
            for fields in page:
                _print("\t".join(_to_text(fields[name]) for name in columns))


class TerminalOutput:
    """Tables, or a block of lines for each record if the terminal is too narrow. No value is ever cut."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def record(self, fields: Fields) -> None:
        """Print a line for each field that has a value; long lines are not wrapped, so they can be copied."""
        known = list(_known(fields))
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            self._console.print(Text.assemble((name.ljust(width), "bold"), "  ", value), soft_wrap=True)

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print a table page by page; its columns get wider if a later page needs it."""
        widths = [len(name) for name in columns]
        header = True
        for page in pages:
            rows = [[_to_text(fields[name]) for name in columns] for fields in page]
            for row in rows:
                widths = [max(width, cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
            if not rows:
                continue  # print no header without rows
            if sum(widths) + _GAP * (len(widths) - 1) <= self._console.width:
                self._console.print(_table(columns, widths, rows, header=header))
                header = False
            else:
                self._blocks(columns, rows)

    def _blocks(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        for row in rows:
            self.record(dict(zip(columns, row, strict=True)))
            self._console.print()


def _table(
    columns: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]], *, header: bool
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header, header_style="bold")
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, no_wrap=True)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    return table


def with_usable_width(console: Console) -> Console:
    """Set the usual width on a console that does not know its own; rich prints nothing at width 0."""
    if console.width < _MIN_WIDTH:
        console.width = _DEFAULT_WIDTH
    return console


def choose_output(*, as_json: bool) -> Output:
    """Return JSON output if `as_json`, else tables on a terminal, else lines."""
    if as_json:
        return JsonOutput()
    if sys.stdout.isatty():
        return TerminalOutput(with_usable_width(Console(highlight=False, emoji=False, markup=False)))
    return LineOutput()


def escape(text: str) -> str:
    """Return text with all unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def to_json(fields: Fields) -> str:
    """Return a JSON document as one line of ASCII."""
    return json.dumps(fields, default=_to_text)


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


def _known(fields: Fields, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values as text, without `None` values.

    Nested fields get dotted names, and each item of a tuple is yielded under the tuple's name.
    """
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _known(cast("Fields", value), f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield from ((escape(prefix + name), _to_text(item)) for item in cast("tuple[object, ...]", value))
        elif value is not None:
            yield escape(prefix + name), _to_text(value)


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return escape(value)
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)

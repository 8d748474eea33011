"""Three forms of output: JSON for programs, tab-separated lines for pipes, tables for terminals.

What the server sent is escaped everywhere: it must not steer a terminal or forge a line.
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
_NARROWEST: Final = 20  # columns; who claims fewer, as `COLUMNS=0` does, does not know
_USUAL: Final = 80


class Output(Protocol):
    """Prints what came back."""

    def record(self, fields: Fields) -> None:
        """Print one thing."""
        ...

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print many things of one kind as they come, a page at a time; text shows these columns only."""
        ...


class JsonOutput:
    """One document. A list that breaks off is left open, so that nobody takes it for the whole."""

    def record(self, fields: Fields) -> None:
        """Print an object."""
        _print(to_json(fields))

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print an array of objects with all their fields, whatever the columns."""
        del columns
        array = JsonArray()
        for page in pages:
            for fields in page:
                array.add(fields)
        array.end()


class JsonArray:
    """An array that is printed while it comes to be; as long as it has no end it is no document."""

    def __init__(self) -> None:
        self._before = "["

    def add(self, fields: Fields) -> None:
        """Print one more object."""
        _print(self._before + to_json(fields), end="")
        self._before = ",\n "

    def end(self) -> None:
        """Make it whole."""
        _print("[]" if self._before == "[" else "]")


class LineOutput:
    """Lines of tab-separated values, without a header: what `cut`, `sort` and `while read` expect."""

    def record(self, fields: Fields) -> None:
        """Print a line for each field that has a value: its name and the value."""
        for name, value in _known(fields):
            _print(f"{name}\t{value}")

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print a line for each thing."""
        for page in pages:
            for fields in page:
                _print("\t".join(_to_text(fields[name]) for name in columns))


class TerminalOutput:
    """Tables, or a block of lines for each thing where the terminal is too narrow: no value is ever cut."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def record(self, fields: Fields) -> None:
        """Print a line for each field that has a value, long ones unbroken, so that they can be copied."""
        known = list(_known(fields))
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            self._console.print(Text.assemble((name.ljust(width), "bold"), "  ", value), soft_wrap=True)

    def listing(self, columns: Sequence[str], pages: Iterable[Sequence[Fields]]) -> None:
        """Print a table that grows page by page; its columns widen when a later page needs it."""
        widths = [len(name) for name in columns]
        header = True
        for page in pages:
            rows = [[_to_text(fields[name]) for name in columns] for fields in page]
            for row in rows:
                widths = [max(width, cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
            if not rows:
                continue  # a header without a table below it tells nothing
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


def widened(console: Console) -> Console:
    """Give a console that does not know its width the usual one: in no width rich would print nothing."""
    if console.width < _NARROWEST:
        console.width = _USUAL
    return console


def choose_output(*, as_json: bool) -> Output:
    """Return JSON if that was asked for, else tables on a terminal, else lines."""
    if as_json:
        return JsonOutput()
    if sys.stdout.isatty():
        return TerminalOutput(widened(Console(highlight=False, emoji=False, markup=False)))
    return LineOutput()


def escape(text: str) -> str:
    """Return text with every character written out that is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def to_json(fields: Fields) -> str:
    """Return a JSON document in one line of ASCII."""
    return json.dumps(fields, default=_to_text)


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


def _known(fields: Fields, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give names and values as text, without those that are not known; what is nested gets dotted names."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _known(cast("Fields", value), f"{prefix}{name}.")
        elif value is not None:
            yield escape(prefix + name), _to_text(value)


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return escape(value)
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)

"""The sources of the commands of `provision`: a file, or a private copy of standard input."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from plivo_endpoints.provisioning import CsvSource, JsonlSource
from plivo_endpoints.provisioning._source import is_json_lines
from plivo_endpoints.provisioning._text_file import PrivateCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from plivo_endpoints.provisioning import RowSource

F = TypeVar("F", bound="Callable[..., Any]")

_STDIN: Final = "-"
_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True)
_SPACE: Final = "\ufeff \t\r\n"  # may come before the first object


def source_argument(command: F) -> F:
    """Add the argument SOURCE, which the command gets as a `RowSource`, and the options for reading it."""
    with_options: F = _source_options(command)
    return click.argument("source", type=_FILE, callback=_check_source)(with_options)


def passwords_option(command: F) -> F:
    """Add the option `--passwords SOURCE`; without it, the command gets `None` as the source."""
    with_options: F = _source_options(command)
    return click.option(
        "--passwords",
        "source",
        type=_FILE,
        callback=_check_source,
        metavar="SOURCE",
        help="Add the passwords, from the run's source and master key. Needs --out and JSON lines.",
    )(with_options)


def _check_source(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    # A source is read several times, and a second read of a pipe would block and ignore Ctrl-C.
    if path is not None and path != _STDIN and not Path(path).is_file():
        raise click.BadParameter(
            f"{path} is not a regular file and cannot be read several times: pass it as standard input (-)"
        )
    return path


def _source_options(command: Callable[..., Any]) -> Any:  # noqa: ANN401 - a command of the same type
    @click.option(
        "--delimiter",
        metavar="CHARACTER",
        callback=_read_tab,
        help="The delimiter of a CSV file; \\t is a tab. [default: a comma]",
    )
    @click.option("--encoding", metavar="NAME", help="The source's encoding. [default: UTF-8]")
    @click.option(
        "--ignore-column",
        "ignore_columns",
        metavar="NAME",
        multiple=True,
        help="Ignore this column of a CSV file; may be repeated.",
    )
    @wraps(command)
    def with_rows(
        *args: object,
        source: str | None,
        delimiter: str | None,
        encoding: str | None,
        ignore_columns: tuple[str, ...],
        **others: object,
    ) -> None:
        options = {"delimiter": delimiter, "encoding": encoding, "ignore_columns": ignore_columns or None}
        given = {name: value for name, value in options.items() if value is not None}
        with _opened(source, given) as rows:
            command(*args, source=rows, **others)

    return with_rows


def _read_tab(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return "\t" if value == "\\t" else value


@contextmanager
def _opened(source: str | None, options: dict[str, Any]) -> Generator[RowSource | None]:
    """Open a source for the block."""
    if source is None:
        if options:
            raise click.UsageError("--delimiter, --encoding and --ignore-column need --passwords")
        yield None
    elif source != _STDIN:
        yield _rows(Path(source), options, is_jsonl=is_json_lines(Path(source)))
    else:
        CsvSource(source, **options)  # refuses wrong options before it waits for input
        with closing(PrivateCopy(sys.stdin.buffer, "standard input")) as copy:
            yield _rows(copy, options, is_jsonl=_is_object(copy, options.get("encoding", "utf-8")))


def _rows(file: Path | PrivateCopy, options: dict[str, Any], *, is_jsonl: bool) -> RowSource:
    if not is_jsonl:
        return CsvSource(file, **options)
    if options.keys() - {"encoding"}:
        raise click.UsageError("--delimiter and --ignore-column are for CSV, but the source is JSON lines")
    return JsonlSource(file, **options)


def _is_object(copy: PrivateCopy, encoding: str) -> bool:
    """Whether the copy starts like JSON lines."""
    with copy.open() as file:
        return file.read(64).decode(encoding, "ignore").lstrip(_SPACE).startswith("{")

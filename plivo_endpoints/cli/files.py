"""Files that commands make: never in place of one that is there, and none left behind by a failure."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from plivo_endpoints.provisioning._results import private_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TextIO

    from plivo_endpoints.provisioning._results import Form

F = TypeVar("F", bound="Callable[..., Any]")

_FORMS: Final[dict[str, Form]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def new_file_option(name: str, *, explanation: str) -> Callable[[F], F]:
    """Give a command an option that names a file yet to be made."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(name, type=kind, metavar="FILE", callback=_check_new, help=explanation)


def _check_new(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    # Before the work, not after hours of it.
    if path is not None and path.exists():
        raise click.BadParameter(f"{path} exists already: name a new file, or move that one away")
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@contextmanager
def made_whole(path: Path) -> Generator[Path]:
    """Lend a private file beside `path`, which gets that name when the block is done, and else is removed."""
    unfinished = path.with_name(f".{path.name}.{token_hex(4)}")
    with ExitStack() as undone:
        with private_file(unfinished):
            undone.callback(unfinished.unlink, missing_ok=True)
        yield unfinished
        _name(unfinished, path)


@contextmanager
def new_file(path: Path) -> Generator[TextIO]:
    """Open a file that only its owner may read, and that is there only when the block has made it whole."""
    with made_whole(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        yield file


def _name(file: Path, path: Path) -> None:
    # A second name, unlike a new one, cannot take the place of a file that came meanwhile.
    try:
        path.hardlink_to(file)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        file.rename(path)  # there are no second names on this disk


def form_of(path: Path) -> Form:
    """Return the form that a file's name asks for."""
    if path.suffix not in _FORMS:
        raise click.UsageError(f"what form shall {path} have? Let its name end in .csv or .jsonl")
    return _FORMS[path.suffix]

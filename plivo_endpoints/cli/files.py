"""Files that commands write: they never overwrite a file, and a failure leaves none behind."""

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
    """Add an option for the name of a new file."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(name, type=kind, metavar="FILE", callback=_check_new, help=explanation)


def _check_new(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    # Checked before the work, which may take hours.
    if path is not None and path.exists():
        raise click.BadParameter(f"{path} already exists: name a new file, or move that one away")
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a private temporary file next to `path`; it gets that name if the block succeeds."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    with ExitStack() as undone:
        with private_file(temporary):
            undone.callback(temporary.unlink, missing_ok=True)
        yield temporary
        _rename_new(temporary, path)


@contextmanager
def new_file(path: Path) -> Generator[TextIO]:
    """Open a new file that only its owner can read, and that exists only if the block succeeds."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def _rename_new(file: Path, path: Path) -> None:
    # A hard link, unlike a rename, cannot replace a file that was created in the meantime.
    try:
        path.hardlink_to(file)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        file.rename(path)  # this file system has no hard links


def form_of(path: Path) -> Form:
    """Return the format for a file's name."""
    if path.suffix not in _FORMS:
        raise click.UsageError(f"the format of {path} is unknown: its name must end in .csv or .jsonl")
    return _FORMS[path.suffix]

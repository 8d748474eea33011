"""Files that commands make: never in place of one that is there, and none left behind by a failure."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
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
def new_file(path: Path) -> Generator[TextIO]:
    """Make a file that only its owner may read; if the block fails, it is removed again."""
    with ExitStack() as undone:
        with private_file(path) as file:
            undone.callback(path.unlink)
            yield file
        undone.pop_all()


def form_of(path: Path) -> Form:
    """Return the form that a file's name asks for."""
    if path.suffix not in _FORMS:
        raise click.UsageError(f"what form shall {path} have? Let its name end in .csv or .jsonl")
    return _FORMS[path.suffix]

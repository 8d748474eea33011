"""Options of the commands that start, join or order a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

_PERMISSION: Final = (
    click.option(
        "--import",
        "import_existing",
        is_flag=True,
        help="Take over an existing endpoint if it is the only match for a row.",
    ),
    click.option(
        "--replace",
        is_flag=True,
        help="If a username was edited, create a new endpoint and delete the old one.",
    ),
    click.option("--recreate", is_flag=True, help="Create again endpoints that somebody has deleted."),
    click.option("--delete", is_flag=True, help="Delete the endpoints of rows that are no longer in SOURCE."),
    click.option(
        "--delete-limit",
        type=click.IntRange(0),
        metavar="N",
        help="Delete at most N endpoints. [default: 10, or a tenth of all if that is more]",
    ),
    click.option(
        "--even-registered", is_flag=True, help="Also delete endpoints that a phone is registered with."
    ),
)
_PACE: Final = (
    click.option(
        "--concurrency",
        type=click.IntRange(1),
        metavar="N",
        default=32,
        show_default=True,
        help="Concurrent requests.",
    ),
    click.option(
        "--settle",
        type=click.FloatRange(0),
        metavar="SECONDS",
        default=120.0,
        show_default=True,
        help="How long until a create with a lost answer counts as not carried out.",
    ),
    click.option(
        "--max-failures",
        type=click.IntRange(1),
        metavar="N",
        default=20,
        show_default=True,
        help="Stop after Plivo has refused N consecutive rows.",
    ),
)


def permission_options(command: F) -> F:
    """Add the options that allow changes."""
    for option in reversed(_PERMISSION):
        command = option(command)
    return command


def pace_options(command: F) -> F:
    """Add the options that say how a run works."""
    for option in reversed(_PACE):
        command = option(command)
    return command


def check_permissions(options: Mapping[str, object]) -> None:
    """Raise unless options that say what to delete come with `--delete`."""
    for name in ("delete_limit", "even_registered"):
        if options[name] not in {None, False} and not options["delete"]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --delete")

"""What the commands of `provision` print, and what they ask."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints._errors import PlivoError
from plivo_endpoints.cli.output import escape, to_json
from plivo_endpoints.cli.settings import Settings
from plivo_endpoints.provisioning import SourceError, StaleError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from plivo_endpoints.provisioning import Extra, Outcome, Plan, Report

_SHOWN_ROWS: Final = 20


def tell_problems(error: SourceError, settings: Settings) -> None:
    """Name every line that cannot be used."""
    if settings.as_json:
        problems = [asdict(problem) for problem in error.problems]
        document = {"type": "SourceError", "message": "the source cannot be used", "problems": problems}
        click.echo(to_json({"error": document}), err=True)
        return
    for problem in error.problems:
        click.echo(f"line {problem.line}: {escape(problem.reason)}", err=True)
    click.echo(f"Error: {len(error.problems)} lines cannot be used; nothing was sent", err=True)


@contextmanager
def told_how_to_go_on(ctx: click.Context) -> Generator[None]:
    """Where the block is stopped, print the command that goes on."""
    try:
        yield
    except StaleError:
        raise  # the same command would be refused again
    except (PlivoError, KeyboardInterrupt):
        if not ctx.ensure_object(Settings).as_json:
            click.echo(f"\nNothing is lost. To go on:\n  {_command(ctx)}", err=True)
        raise


def _command(ctx: click.Context) -> str:
    """Return the command line that was given, as far as this command's own options go."""
    words = ["plivo-endpoints", "provision", ctx.command.name or ""]
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if value in (None, False) or value == parameter.get_default(ctx):
            continue
        name = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
        words += [*name, *([] if value is True else [str(value)])]
    return shlex.join(words)


def is_confirmed(extras: Sequence[Extra]) -> bool:
    """Show doubles and have the person type that they shall go."""
    for extra in extras:
        name, key = escape(extra.username), escape(extra.key)
        click.echo(f"double: {extra.endpoint_id} {name} of {key}, kept: {extra.kept}", err=True)
    wanted = f"delete {len(extras)}"
    answer: str = click.prompt(f"Type '{wanted}' to delete them for ever", err=True)
    return answer == wanted


def show_plan(found: Plan, settings: Settings) -> None:
    """Print how many rows would be what, and which conflict."""
    if settings.as_json:
        settings.output().record(asdict(found))
        return
    counts = {name: len(getattr(found, name)) for name in ("create", "update", "unchanged", "conflict")}
    settings.output().record(counts)
    conflicts = [{"key": key, "reason": reason} for key, reason in found.conflict.items()]
    _list(("key", "reason"), conflicts, settings)


def show_report(report: Report, troubled: list[Outcome], settings: Settings) -> None:
    """Print how many rows are what, and those that failed or need review."""
    rows = [asdict(outcome) for outcome in troubled]
    if settings.as_json:
        settings.output().record({**asdict(report), "rows": rows})
        return
    counts: dict[str, object] = {name: count for name, count in report.counts.items() if count}
    settings.output().record({**counts, "doubles": len(report.extras), "audited": report.audited})
    _list(("line", "key", "status", "error"), rows, settings)


def _list(columns: Sequence[str], rows: Sequence[Mapping[str, object]], settings: Settings) -> None:
    if rows:
        settings.output().listing(columns, [rows[:_SHOWN_ROWS]])
    if len(rows) > _SHOWN_ROWS:
        click.echo(f"and {len(rows) - _SHOWN_ROWS} more; --json shows all", err=True)

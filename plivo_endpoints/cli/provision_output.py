"""What the commands of `provision` print, and what they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.output import escape, to_json
from plivo_endpoints.cli.shell import command_line
from plivo_endpoints.provisioning._rows import NO_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from plivo_endpoints.cli.settings import Settings
    from plivo_endpoints.provisioning import Double, Outcome, Plan, Problem, Report, SourceError

_SHOWN_ROWS: Final = 20
_SHOWN_PROBLEMS: Final = 50
_NO_KEY: Final = f"password: {NO_PASSWORD}"
_KEY: Final = "PLIVO_PROVISION_KEY"
# Pasted again, it keeps the key that is there: with another one the passwords could not be told any more.
KEY_STEPS: Final = f"""\
  (umask 077; set -C; openssl rand -hex 32 > provision.key)
  export {_KEY}=$(cat provision.key)"""
_KEY_HINT: Final = f"""\
To have passwords derived, make a master key, and keep it: the same key tells them again.
{KEY_STEPS}"""
_NO_ROWS: Final = "The source has no rows: there is nothing to do."
_WITHOUT_JOURNAL: Final = (
    "If this source was applied before, add --journal FILE, so that its rows are recognised."
)
_PUT_RIGHT: Final = (
    "Put right what the rows say, then apply again with this journal: what failed is tried again. A row that "
    "stays in review needs another key."
)


def tell_problems(error: SourceError, settings: Settings) -> None:
    """Name every line that cannot be used, those together that share a reason, and what helps."""
    hint = _KEY_HINT if any(_KEY in problem.reason for problem in error.problems) else None
    if settings.as_json:
        problems = [
            {"file": each.file, "line": each.line, "key": each.key, "reason": each.reason}
            for each in error.problems
        ]
        document = {"type": "SourceError", "message": "the source cannot be used", "problems": problems}
        click.echo(to_json({"error": document if hint is None else {**document, "hint": hint}}), err=True)
        return
    told = list(_describe(error.problems))
    for text in told[:_SHOWN_PROBLEMS]:
        click.echo(escape(text), err=True)
    if len(told) > _SHOWN_PROBLEMS:
        click.echo(f"and {len(told) - _SHOWN_PROBLEMS} more; --json shows all", err=True)
    click.echo(f"Error: {_count(error.problems)} cannot be used; nothing was sent", err=True)
    if hint is not None:
        click.echo(hint, err=True)


def _count(problems: Sequence[Problem]) -> str:
    if not all(problem.line for problem in problems):
        return "the source"
    return "1 line" if len(problems) == 1 else f"{len(problems)} lines"


def _describe(problems: Sequence[Problem]) -> Iterator[str]:
    """Describe each problem, but at once the lines that lack nothing but a master key."""
    keyless = [problem.line for problem in problems if problem.reason == _NO_KEY]
    for problem in problems:
        if problem.reason != _NO_KEY or len(keyless) == 1:
            yield str(problem)
        elif problem.line == keyless[0]:
            yield f"{problem.file}, {_name_lines(keyless)}: {_NO_KEY}"


def _name_lines(numbers: Sequence[int]) -> str:
    """Return `lines 2-4, 7`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    names = ", ".join("-".join(map(str, each)) for each in ranges[:_SHOWN_PROBLEMS])
    return f"lines {names}{' and others' if len(ranges) > _SHOWN_PROBLEMS else ''}"


def is_confirmed(doubles: Sequence[Double]) -> bool:
    """Show doubles and have the person type that they shall go."""
    for double in doubles:
        name, key = escape(double.username), escape(double.key)
        click.echo(f"double: {double.endpoint_id} {name} of {key}, kept: {double.kept}", err=True)
    wanted = f"delete {len(doubles)}"
    answer: str = click.prompt(f"Type '{wanted}' to delete them for ever", err=True)
    if answer != wanted:
        click.echo("nothing deleted", err=True)
    return answer == wanted


def tell(text: str, settings: Settings) -> None:
    """Say something on stderr that is for people."""
    if not settings.as_json:
        click.echo(text, err=True)


def show_plan(found: Plan, settings: Settings, *, with_journal: bool) -> None:
    """Print how many rows would be what, and which conflict."""
    if settings.as_json:
        settings.output().record(asdict(found))
        return
    counts = {name: len(getattr(found, name)) for name in ("create", "update", "unchanged", "conflict")}
    settings.output().record(counts)
    if found.gone:
        tell(_name_gone(found.gone), settings)
    conflicts = [{"key": key, "reason": reason} for key, reason in found.conflict.items()]
    _list(("key", "reason"), conflicts, settings)
    if not any(counts.values()):
        tell(_NO_ROWS, settings)
    elif found.create and not with_journal:
        tell(_WITHOUT_JOURNAL, settings)


def show_report(report: Report, troubled: list[Outcome], settings: Settings) -> None:
    """Print how many rows are what, the doubles, and the rows that failed or need review."""
    rows = [asdict(outcome) for outcome in troubled]
    if settings.as_json:
        settings.output().record({**asdict(report), "rows": rows})
        return
    counts: dict[str, object] = {name: count for name, count in report.counts.items() if count}
    settings.output().record({**counts, "doubles": len(report.doubles), "audited": report.audited})
    doubles = [
        {
            **asdict(double),
            "double": double.endpoint_id,
            "prune": "deletes it" if double.deletable else "keeps it",
        }
        for double in report.doubles
    ]
    _list(("double", "username", "key", "kept", "prune"), doubles, settings)
    _list(("line", "key", "status", "error"), rows, settings)
    if report.gone:
        tell(_name_gone(report.gone), settings)
    if not report.total:
        tell(_NO_ROWS, settings)
    if rows and not report.counts["unprocessed"]:  # before, a create of the run could still land
        tell(_PUT_RIGHT, settings)


def _name_gone(count: int) -> str:
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return f"{rows} not in the source any more; their endpoints stay as they are."


def tell_how_to_prune(journal: Path, settings: Settings) -> None:
    """Print the command that deletes doubles."""
    words = ("provision", "audit", "--journal", str(journal), "--prune")
    tell(f"To delete the doubles:\n  {command_line(words, base_url=settings.base_url)}", settings)


def _list(columns: Sequence[str], rows: Sequence[Mapping[str, object]], settings: Settings) -> None:
    """Print a table, if it has rows, a blank line away from what comes before."""
    if rows:
        click.echo()
        settings.output().listing(columns, [rows[:_SHOWN_ROWS]])
    if len(rows) > _SHOWN_ROWS:
        click.echo(f"and {len(rows) - _SHOWN_ROWS} more; --json shows all", err=True)

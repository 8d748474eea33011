"""The output and prompts of the commands of `provision`."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.cli.output import escape, to_json
from plivo_endpoints.provisioning._rows import NO_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plivo_endpoints.cli.options import Settings
    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import Duplicate, Outcome, Problem, Report, SourceError, Step, Worker

_SHOWN_ROWS: Final = 20
_DUPLICATE: Final = ("duplicate", "username", "key", "kept", "delete")
_WORKER: Final = ("worker", "role", "rows", "rows/s", "since", "lease")
_SHOWN_PROBLEMS: Final = 50
_NO_KEY: Final = f"password: {NO_PASSWORD}"
_KEY: Final = "PLIVO_PROVISION_KEY"
# Pasting this again keeps an existing key (`set -C`): with a new key, all passwords would be different.
KEY_STEPS: Final = f"""\
  (umask 077; set -C; openssl rand -hex 32 > provision.key)
  export {_KEY}=$(cat provision.key)"""
_KEY_HINT: Final = f"""\
To derive passwords, create a master key, and keep it: the same key always gives the same passwords.
{KEY_STEPS}"""
_NOT_COMPARED: Final = (
    f"Passwords are not compared: that needs {_KEY}. Without it, a password is sent again only if "
    "password_version was edited."
)
NO_ROWS: Final = "There are no rows: there is nothing to do."
_HOW_TO_CORRECT: Final = (
    "Correct these rows, or allow the change (--import, --replace, --recreate), and apply again: failed rows "
    "are tried again. To choose a row's endpoint yourself: `provision import KEY=ENDPOINT_ID`."
)


def show_problems(error: SourceError, settings: Settings) -> None:
    """Print the lines that cannot be used, with their reasons, and a hint if there is one."""
    hint = _KEY_HINT if any(_KEY in problem.reason for problem in error.problems) else None
    if settings.as_json:
        problems = [
            {"file": each.file, "line": each.line, "key": each.key, "reason": each.reason}
            for each in error.problems
        ]
        document = {"type": "SourceError", "message": "the source cannot be used", "problems": problems}
        click.echo(to_json({"error": document if hint is None else {**document, "hint": hint}}), err=True)
        return
    lines = list(_describe(error.problems))
    for text in lines[:_SHOWN_PROBLEMS]:
        click.echo(escape(text), err=True)
    if len(lines) > _SHOWN_PROBLEMS:
        click.echo(f"and {len(lines) - _SHOWN_PROBLEMS} more; --json shows all", err=True)
    click.echo(f"Error: {_count(error.problems)} cannot be used; nothing was sent", err=True)
    if hint is not None:
        click.echo(hint, err=True)


def _count(problems: Sequence[Problem]) -> str:
    if not all(problem.line for problem in problems):
        return "the source"
    return "1 line" if len(problems) == 1 else f"{len(problems)} lines"


def _describe(problems: Sequence[Problem]) -> Iterator[str]:
    """Describe each problem; lines that only lack a master key are described together."""
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


def is_confirmed(duplicates: Sequence[Duplicate]) -> bool:
    """Show duplicates, and ask the person to confirm by typing that they are to be deleted."""
    for duplicate in duplicates:
        name, key = escape(duplicate.username), escape(duplicate.key)
        click.echo(f"duplicate: {duplicate.endpoint_id} {name} of {key}, kept: {duplicate.kept}", err=True)
    wanted = f"delete {len(duplicates)}"
    answer: str = click.prompt(f"Type '{wanted}' to delete them permanently", err=True)
    if answer != wanted:
        click.echo("nothing deleted", err=True)
    return answer == wanted


def print_note(text: str, settings: Settings) -> None:
    """Print a sentence for people, on stderr."""
    if not settings.as_json:
        click.echo(text, err=True)


def note_if_not_compared(settings: Settings) -> None:
    """If there is no master key, print that edited passwords are not noticed."""
    if not os.environ.get(_KEY):
        print_note(_NOT_COMPARED, settings)


def show_drift(steps: Sequence[Step], settings: Settings) -> None:
    """Print what has changed on the account."""
    rows = [{"key": step.key, "endpoint_id": step.endpoint_id, "change": step.reason} for step in steps]
    if settings.as_json:
        settings.output().record({"drift": [asdict(step) for step in steps]})
    elif rows:
        _list(("key", "endpoint_id", "change"), rows, settings)
    else:
        print_note("Nothing has changed on the account.", settings)


def show_duplicates(duplicates: Sequence[Duplicate], settings: Settings) -> None:
    """Print the duplicates."""
    if settings.as_json:
        settings.output().record({"duplicates": [asdict(duplicate) for duplicate in duplicates]})
    elif duplicates:
        _list(_DUPLICATE, [_row_of(duplicate) for duplicate in duplicates], settings)
    else:
        print_note("There are no duplicates.", settings)


def _row_of(duplicate: Duplicate) -> dict[str, object]:
    return {
        **asdict(duplicate),
        "duplicate": duplicate.endpoint_id,
        "delete": "can be" if duplicate.deletable else "by hand",
    }


def show_report(
    report: Report, troubled: list[Outcome], settings: Settings, workers: Sequence[Worker] = ()
) -> None:
    """Print the counts, the workers, the duplicates, and the rows that failed or need review."""
    rows = [asdict(outcome) for outcome in troubled]
    if settings.as_json:
        shown_workers = {"workers": [asdict(worker) for worker in workers]} if workers else {}
        settings.output().record({**asdict(report), **shown_workers, "rows": rows})
        return
    counts: dict[str, object] = {name: count for name, count in report.counts.items() if count}
    settings.output().record({**counts, "duplicates": len(report.duplicates), "audited": report.audited})
    for columns, table in (
        (_WORKER, [_row_of_worker(worker) for worker in workers]),
        (_DUPLICATE, [_row_of(duplicate) for duplicate in report.duplicates]),
        (("line", "key", "status", "error"), rows),
    ):
        if table:
            click.echo()
            _list(columns, table, settings)
    if workers:
        print_note(_name_pace(report, workers), settings)
    if report.gone:
        print_note(_name_gone(report.gone), settings)
    if report.appeared:
        print_note(_name_appeared(report.appeared), settings)
    if not report.total and not report.gone:
        print_note(NO_ROWS, settings)
    if rows and not report.counts["unprocessed"]:  # until then a create of the run may still be carried out
        print_note(_HOW_TO_CORRECT, settings)


def _row_of_worker(worker: Worker) -> dict[str, object]:
    return {
        "worker": worker.name,
        "role": "leader" if worker.leads else "helper",
        "rows": worker.done,
        "rows/s": f"{worker.rate:.1f}",
        "since": str(timedelta(seconds=round(worker.age))),
        "lease": f"{worker.lease:.0f} s",
    }


def _name_pace(report: Report, workers: Sequence[Worker]) -> str:
    rate, left = sum(worker.rate for worker in workers), report.counts["unprocessed"]
    who = "1 process works" if len(workers) == 1 else f"{len(workers)} processes work"
    if not rate or not left:
        return f"{who} on it."
    return f"{who} on it, {rate:.1f} rows a second: about {timedelta(seconds=round(left / rate))} left."


def _name_gone(count: int) -> str:
    if count == 1:
        return "1 row is no longer in the source; `apply --delete` deletes its endpoint."
    return f"{count} rows are no longer in the source; `apply --delete` deletes their endpoints."


def _name_appeared(count: int) -> str:
    what, them = ("endpoint that belongs", "it") if count == 1 else ("endpoints that belong", "them")
    return (
        f"{count} {what} to no row appeared on the account during the run. This is not an error: a colleague "
        f"or another program may have created {them}."
    )


def show_delete_command(state: State, settings: Settings) -> None:
    """Print the command that deletes duplicates."""
    words = ("provision", "duplicates", "--state", str(state), "--delete")
    print_note(f"To delete the duplicates:\n  {command_line(words, base_url=settings.base_url)}", settings)


def _list(columns: Sequence[str], rows: Sequence[Mapping[str, object]], settings: Settings) -> None:
    """Print the first rows of a table."""
    settings.output().listing(columns, [rows[:_SHOWN_ROWS]])
    if len(rows) > _SHOWN_ROWS:
        click.echo(f"and {len(rows) - _SHOWN_ROWS} more; --json shows all", err=True)

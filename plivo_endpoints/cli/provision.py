"""`provision`: a file of SIP users in, each made exactly once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from plivo_endpoints._client import AsyncClient
from plivo_endpoints.cli.progress import shown
from plivo_endpoints.cli.provision_output import (
    is_confirmed,
    show_plan,
    show_report,
    tell_problems,
    told_how_to_go_on,
)
from plivo_endpoints.cli.settings import Settings, shared_options
from plivo_endpoints.provisioning import (
    CsvSource,
    JsonlSource,
    Outcome,
    SourceError,
    apply,
    audit,
    load_plan,
    plan,
    prune,
    read_credentials,
    read_outcomes,
    read_report,
    save_plan,
)
from plivo_endpoints.provisioning._report import STATUSES, ExitStatus
from plivo_endpoints.provisioning._results import SipCredentials, private_file, writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plivo_endpoints.provisioning import Plan, Report, RowSource
    from plivo_endpoints.provisioning._results import Form

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_FAILED: Final = 1
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)

_source = click.argument("source", type=_FILE)
_prune = click.option("--prune", "prunes", is_flag=True, help="Delete doubles that the audit finds; asks.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


def _journal(*, exists: bool) -> Callable[[F], F]:
    kind = _FILE if exists else _NEW_FILE
    return click.option("--journal", type=kind, required=True, help="The file that remembers the run.")


@click.group
def provision() -> None:
    """Make an endpoint of each row of a file, exactly once, whatever happens on the way.

    The file is CSV, its first line naming the columns, or JSON lines (*.jsonl): username and alias, and as
    wanted password, app_id and key. Rows without a password get one that is derived from the master key in
    PLIVO_PROVISION_KEY; `results --passwords` tells it.

    Exit status: 0 all rows are done, 1 some failed or are left, 3 some need review.
    """


@provision.command("plan")
@_source
@click.option("--out", type=_NEW_FILE, help="Save the plan, for apply --plan.")
@shared_options
@click.pass_context
def plan_(ctx: click.Context, /, source: Path, out: Path | None) -> None:
    """Compare SOURCE with the account: what would be created, updated, left alone. Nothing is written."""
    settings = ctx.ensure_object(Settings)

    async def compare() -> Plan:
        async with AsyncClient(base_url=settings.base_url) as client:
            return await plan(client, _read(source))

    found = _run(compare(), settings)
    if out is not None:
        save_plan(found, out)
    show_plan(found, settings)
    ctx.exit(ExitStatus.REVIEW if found.conflict else ExitStatus.DONE)


@provision.command("apply")
@_source
@_journal(exists=False)
@click.option("--plan", "plan_file", type=_FILE, help="Only if the account still is as this plan found it.")
@click.option("--results", type=_NEW_FILE, help="Write what came of each row to a new file: *.csv, *.jsonl.")
@click.option("--concurrency", type=click.IntRange(1), default=32, show_default=True, help="Creates at once.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=120.0,
    show_default=True,
    help="Seconds until a create with a lost answer counts as never carried out.",
)
@_prune
@_yes
@shared_options
@click.pass_context
def apply_(
    ctx: click.Context,
    /,
    *,
    source: Path,
    journal: Path,
    plan_file: Path | None,
    results: Path | None,
    concurrency: int,
    settle: float,
    prunes: bool,
    yes: bool,
) -> None:
    """Make what SOURCE has and the account has not; go on where an earlier run with this journal stopped."""
    settings = ctx.ensure_object(Settings)
    _check_prune(prunes=prunes, yes=yes)
    if results is not None and results.exists():
        raise click.UsageError(f"{results} exists already")

    async def work() -> Report:
        expected = None if plan_file is None else load_plan(plan_file)
        limits: dict[str, Any] = {"concurrency": concurrency, "settle": settle, "plan": expected}
        async with (
            AsyncClient(base_url=settings.base_url) as client,
            apply(client, _read(source), journal=journal, **limits) as run,
            shown(run, quiet=settings.as_json),
        ):
            async for _ in run:
                pass
        return run.report

    with told_how_to_go_on(ctx):
        report = _run(work(), settings)
    if prunes:
        report = _pruned(settings, journal, report, yes=yes)
    if results is not None:
        _run(_write(journal, results, _form_of(results)), settings)
    _finish(ctx, journal, report)


@provision.command
@_journal(exists=True)
@shared_options
@click.pass_context
def status(ctx: click.Context, /, journal: Path) -> None:
    """Show where a run stands, also while it is under way. Asks nobody but the journal."""
    _finish(ctx, journal, _run(read_report(journal), ctx.ensure_object(Settings)))


@provision.command("audit")
@_journal(exists=True)
@_prune
@_yes
@shared_options
@click.pass_context
def audit_(ctx: click.Context, /, journal: Path, *, prunes: bool, yes: bool) -> None:
    """Compare the account with a journal: each row's endpoint is there, and there once."""
    settings = ctx.ensure_object(Settings)
    _check_prune(prunes=prunes, yes=yes)

    async def look() -> Report:
        async with AsyncClient(base_url=settings.base_url) as client:
            return await audit(client, journal)

    report = _run(look(), settings)
    if prunes:
        report = _pruned(settings, journal, report, yes=yes)
    _finish(ctx, journal, report)


@provision.command
@_journal(exists=True)
@click.option("--out", type=_NEW_FILE, help="A new file, which only you may read; else standard output.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="By default what --out ends in.")
@click.option("--status", "kept", type=click.Choice(STATUSES), multiple=True, help="Only these.")
@click.option(
    "--passwords", "source", type=_FILE, metavar="SOURCE", help="With passwords; needs --out, JSON lines."
)
@shared_options
@click.pass_context
def results(
    ctx: click.Context,
    /,
    *,
    journal: Path,
    out: Path | None,
    form: Form | None,
    kept: tuple[str, ...],
    source: Path | None,
) -> None:
    """Tell what came of each row: made, failed, unprocessed, needs review."""
    settings = ctx.ensure_object(Settings)
    if source is not None and out is None:
        raise click.UsageError("--passwords needs --out: passwords go to a file that only you may read")
    form = form or _form_of(out)
    if source is not None and form == "csv":
        raise click.UsageError("--passwords writes JSON lines only: what is safe in CSV would change some")
    _run(_write(journal, out, form, kept=kept, source=source), settings)
    ctx.exit(_run(read_report(journal), settings).exit_status)


def _read(source: Path) -> RowSource:
    return JsonlSource(source) if source.suffix in {".jsonl", ".ndjson"} else CsvSource(source)


def _run(work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Run to the end; what is wrong with a source is told line by line."""
    try:
        return asyncio.run(work)
    except SourceError as error:
        tell_problems(error, settings)
        sys.exit(_FAILED)


def _check_prune(*, prunes: bool, yes: bool) -> None:
    if prunes and not yes and not sys.stdin.isatty():
        raise click.UsageError("no terminal to confirm --prune on: add --yes")


def _pruned(settings: Settings, journal: Path, report: Report, *, yes: bool) -> Report:
    if not report.extras or not (yes or is_confirmed(report.extras)):
        return report

    async def delete() -> Report:
        async with AsyncClient(base_url=settings.base_url) as client:
            deleted = await prune(client, journal)
        left = len(report.extras) - len(deleted)
        click.echo(f"{len(deleted)} deleted, {left} left alone: registered, changed or gone", err=True)
        return await read_report(journal)

    return _run(delete(), settings)


async def _write(
    journal: Path,
    out: Path | None,
    form: Form,
    *,
    kept: tuple[str, ...] = (),
    source: Path | None = None,
) -> None:
    outcomes: AsyncGenerator[Outcome] | AsyncGenerator[SipCredentials]
    kind: type[Outcome] = Outcome if source is None else SipCredentials
    outcomes = read_outcomes(journal) if source is None else read_credentials(journal, _read(source))
    with ExitStack() as stack:
        file = sys.stdout if out is None else stack.enter_context(private_file(out))
        write = writer(file, form, kind)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                if not kept or outcome.status in kept:
                    write(outcome)


def _form_of(out: Path | None) -> Form:
    return "csv" if out is not None and out.suffix == ".csv" else "jsonl"


def _finish(ctx: click.Context, journal: Path, report: Report) -> NoReturn:
    """Show a report with the rows that are not done, and end with its status."""
    settings = ctx.ensure_object(Settings)
    show_report(report, _run(_troubled(journal), settings), settings)
    ctx.exit(report.exit_status)


async def _troubled(journal: Path) -> list[Outcome]:
    async with aclosing(read_outcomes(journal)) as outcomes:
        return [outcome async for outcome in outcomes if outcome.status in {"failed", "review"}]

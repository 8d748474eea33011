"""`provision`: a file of SIP users in, each made exactly once."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from plivo_endpoints.cli.files import form_of, made_whole, new_file_option
from plivo_endpoints.cli.progress import shown
from plivo_endpoints.cli.provision_output import (
    KEY_STEPS,
    is_confirmed,
    show_plan,
    show_report,
    tell,
    tell_how_to_prune,
)
from plivo_endpoints.cli.provision_parts import (
    EXIT_STATUS,
    FILE,
    journal_option,
    run_to_end,
)
from plivo_endpoints.cli.provision_results import results, write_results
from plivo_endpoints.cli.provision_source import source_argument
from plivo_endpoints.cli.provision_stop import stopped_well
from plivo_endpoints.cli.settings import Settings, SharingGroup, json_option, shared_options
from plivo_endpoints.provisioning import (
    Outcome,
    apply,
    audit,
    load_plan,
    plan,
    prune,
    read_outcomes,
    read_report,
    save_plan,
)
from plivo_endpoints.provisioning._report import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from plivo_endpoints.provisioning import Plan, Report, RowSource

_FIRST_STEPS: Final = f"""
\b
First steps:
{KEY_STEPS}
  plivo-endpoints provision plan users.csv
  plivo-endpoints provision apply users.csv --journal run.db
  plivo-endpoints provision results --journal run.db --out made.csv
"""
_PLAN_STATUS: Final = """
\b
Exit status:
  0  nothing stands in the way
  1  refused or failed
  2  wrong usage, a source that breaks a rule, or no credentials; nothing was sent
  3  some rows conflict with what the account has: a person has to look
"""

_prune = click.option(
    "--prune", "prunes", is_flag=True, help="Delete doubles that lost creates of this run made; asks."
)
_yes = click.option("--yes", is_flag=True, help="Delete them without asking.")


@click.group(cls=SharingGroup, epilog=_FIRST_STEPS + EXIT_STATUS)
@shared_options
def provision() -> None:
    """Make an endpoint of each row of a file, exactly once.

    Lost answers, crashes and power cuts do not change that. The source is a CSV file whose first line names
    the columns, or JSON lines (*.jsonl), or one of these packed (*.gz); - is standard input. The columns are
    username and alias, and as wanted password, app_id and key. Rows without a password get one that is
    derived from the master key in PLIVO_PROVISION_KEY: keep the key, and `results --passwords` tells them.
    """


@provision.command("plan", epilog=_PLAN_STATUS)
@source_argument
@journal_option(exists=True, required=False)
@new_file_option("--out", explanation="Save the plan in a new file, for apply --plan.")
@shared_options
@click.pass_context
def plan_(ctx: click.Context, /, source: RowSource, journal: Path | None, out: Path | None) -> None:
    """Tell what apply would do: create, update, leave alone.

    It compares SOURCE, a file or - for standard input, with the account, which is only read, and with the
    journal of earlier runs, if there is one. Nothing is written but the plan, with --out.
    """
    settings = ctx.ensure_object(Settings)

    async def compare() -> Plan:
        async with settings.connect_async() as client:
            return await plan(client, source, journal=journal)

    found = run_to_end(compare(), settings)
    if out is not None:
        with made_whole(out) as unfinished:
            save_plan(found, unfinished)
    show_plan(found, settings, with_journal=journal is not None)
    if out is not None:
        tell(f"The plan is in {out}.", settings)
    ctx.exit(ExitStatus.REVIEW if found.conflict else ExitStatus.DONE)


@provision.command("apply", epilog=EXIT_STATUS)
@source_argument
@journal_option(exists=False)
@click.option(
    "--plan", "plan_file", type=FILE, help="Begin only if source and account are as this plan found them."
)
@new_file_option("--results", explanation="Write what came of each row to a new file, *.csv or *.jsonl.")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    default=32,
    show_default=True,
    help="Creates at once.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="How long until a create with a lost answer counts as never carried out.",
)
@_prune
@_yes
@shared_options
@click.pass_context
def apply_(
    ctx: click.Context,
    /,
    *,
    source: RowSource,
    journal: Path,
    plan_file: Path | None,
    results: Path | None,
    concurrency: int,
    settle: float,
    prunes: bool,
    yes: bool,
) -> None:
    """Make what SOURCE has and the account has not.

    SOURCE is a file, or - for standard input.

    After a crash, a power cut or Ctrl-C the same command, with the same key and journal, goes on where it
    stopped. SOURCE may be edited from one run to the next: with the same journal, rows are known again by
    their keys, a new alias or app_id is an update, and rows that are gone are left alone. With another
    journal it begins anew; rows whose endpoint is there are then unchanged.
    """
    settings = ctx.ensure_object(Settings)
    _check_prune(prunes=prunes, yes=yes)
    if results is not None:
        form_of(results)  # a name without a form is refused now, not after hours

    async def work() -> Report:
        expected = None if plan_file is None else load_plan(plan_file)
        limits: dict[str, Any] = {"concurrency": concurrency, "settle": settle, "plan": expected}
        async with (
            settings.connect_async() as client,
            apply(client, source, journal=journal, **limits) as run,
            shown(run, quiet=settings.as_json),
        ):
            async for _ in run:
                pass
        return run.report

    with stopped_well(ctx, journal):
        report = run_to_end(work(), settings)
    if prunes:
        report = _pruned(settings, journal, report, yes=yes)
    if results is not None:
        run_to_end(write_results(journal, results), settings)
        tell(f"What came of each row is in {results}.", settings)
    _finish(ctx, journal, report)


@provision.command(epilog=EXIT_STATUS)
@journal_option(exists=True)
@json_option
@click.pass_context
def status(ctx: click.Context, /, journal: Path) -> None:
    """Show where a run stands.

    It asks nobody but the journal, also while the run is under way. Rows that failed or need review are
    listed.
    """
    _finish(ctx, journal, run_to_end(read_report(journal), ctx.ensure_object(Settings)))


@provision.command("audit", epilog=EXIT_STATUS)
@journal_option(exists=True)
@_prune
@_yes
@shared_options
@click.pass_context
def audit_(ctx: click.Context, /, journal: Path, *, prunes: bool, yes: bool) -> None:
    """Look whether each row's endpoint is there, and there once.

    It compares the account with the journal, and notes the doubles that it finds. A run ends with it; this
    looks again, as a lost create may have landed since.
    """
    settings = ctx.ensure_object(Settings)
    _check_prune(prunes=prunes, yes=yes)

    async def look() -> Report:
        async with settings.connect_async() as client:
            return await audit(client, journal)

    report = run_to_end(look(), settings)
    if prunes:
        report = _pruned(settings, journal, report, yes=yes)
    _finish(ctx, journal, report)


provision.add_command(results)


def _check_prune(*, prunes: bool, yes: bool) -> None:
    if yes and not prunes:
        raise click.UsageError("--yes is about --prune: add that, or leave --yes out")
    if prunes and not yes and not sys.stdin.isatty():
        raise click.UsageError("no terminal to confirm --prune on: add --yes")


def _pruned(settings: Settings, journal: Path, report: Report, *, yes: bool) -> Report:
    deletable = [double for double in report.doubles if double.deletable]
    if not deletable or not (yes or is_confirmed(deletable)):
        return report

    async def delete() -> Report:
        async with settings.connect_async() as client:
            deleted = await prune(client, journal)
        left = len(deletable) - len(deleted)
        click.echo(f"{len(deleted)} deleted, {left} left alone: registered, changed or gone", err=True)
        return await read_report(journal)

    return run_to_end(delete(), settings)


def _finish(ctx: click.Context, journal: Path, report: Report) -> NoReturn:
    """Show a report with the rows that are not done, and end with its status."""
    settings = ctx.ensure_object(Settings)
    show_report(report, run_to_end(_troubled(journal), settings), settings)
    if any(double.deletable for double in report.doubles) and not ctx.params.get("prunes"):
        tell_how_to_prune(journal, settings)
    ctx.exit(report.exit_status)


async def _troubled(journal: Path) -> list[Outcome]:
    async with aclosing(read_outcomes(journal)) as outcomes:
        return [outcome async for outcome in outcomes if outcome.status in {"failed", "review"}]

"""`provision status`, `drift`, `audit` and `duplicates`: how things stand, here and in the account."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, NoReturn

import click
from attrs import asdict

from plivo_endpoints.cli.provision.options import EXIT_STATUS, run_to_end, state_option
from plivo_endpoints.cli.provision.output import (
    is_confirmed,
    show_drift,
    show_report,
    tell,
    tell_how_to_delete,
)
from plivo_endpoints.cli.settings import Settings, json_option, shared_options
from plivo_endpoints.provisioning import AsyncFleet, SqliteState
from plivo_endpoints.provisioning._maintenance import read_report
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.provisioning._results import read_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from plivo_endpoints.provisioning import Duplicate, Outcome, Report, Step


@click.command(epilog=EXIT_STATUS)
@state_option(exists=True)
@json_option
@click.pass_context
def status(ctx: click.Context, /, state: Path) -> None:
    """Show where the last run stands.

    It asks nobody but the state, also while the run is under way. Rows that failed or need review are listed.
    """
    finish(ctx, state, run_to_end(read_report(SqliteState(state)), ctx.ensure_object(Settings)))


@click.command()
@state_option(exists=True)
@shared_options
@click.pass_context
def drift(ctx: click.Context, /, state: Path) -> None:
    """Show what the account has changed since.

    It compares the state with the account, both only read: endpoints that got another alias or application,
    or are gone. The exit status is 3 if there are any. `apply` puts them back.
    """
    settings = ctx.ensure_object(Settings)

    async def compare() -> tuple[Step, ...]:
        async with settings.connect_async() as client:
            return await AsyncFleet(client, state).drift()

    steps = run_to_end(compare(), settings)
    show_drift(steps, settings)
    ctx.exit(ExitStatus.REVIEW if steps else ExitStatus.DONE)


@click.command(epilog=EXIT_STATUS)
@state_option(exists=True)
@shared_options
@click.pass_context
def audit(ctx: click.Context, /, state: Path) -> None:
    """Look whether each row's endpoint is there, and there once.

    It compares the account with the state, and notes the duplicates that it finds. A run ends with it; this
    looks again, as a lost create may have landed since.
    """
    finish(ctx, state, run_to_end(_audit(ctx.ensure_object(Settings), state), ctx.ensure_object(Settings)))


@click.command(epilog=EXIT_STATUS)
@state_option(exists=True)
@click.option(
    "--delete", "deletes", is_flag=True, help="Delete those that lost creates of the fleet made; asks."
)
@click.option("--yes", is_flag=True, help="Delete them without asking.")
@shared_options
@click.pass_context
def duplicates(ctx: click.Context, /, state: Path, *, deletes: bool, yes: bool) -> None:
    """Look for second endpoints of a row.

    Only those are ever deleted that a lost create of this fleet can have made, and that no phone is
    registered with.
    """
    settings = ctx.ensure_object(Settings)
    if yes and not deletes:
        raise click.UsageError("--yes is about --delete: add that, or leave --yes out")
    if deletes and not yes and not sys.stdin.isatty():
        raise click.UsageError("no terminal to confirm --delete on: add --yes")
    report = run_to_end(_audit(settings, state), settings)
    if deletes:
        report = _delete(settings, state, report, yes=yes)
    if settings.as_json:
        settings.output().record({"duplicates": [asdict(each) for each in report.duplicates]})
        ctx.exit(ExitStatus.REVIEW if report.duplicates else ExitStatus.DONE)
    finish(ctx, state, report)


async def _audit(settings: Settings, state: Path) -> Report:
    async with settings.connect_async() as client:
        return await AsyncFleet(client, state).audit()


def _delete(settings: Settings, state: Path, report: Report, *, yes: bool) -> Report:
    deletable: list[Duplicate] = [duplicate for duplicate in report.duplicates if duplicate.deletable]
    if not deletable or not (yes or is_confirmed(deletable)):
        return report

    async def delete() -> Report:
        async with settings.connect_async() as client:
            deleted = await AsyncFleet(client, state).delete_duplicates()
        left = len(deletable) - len(deleted)
        tell(f"{len(deleted)} deleted, {left} left alone: registered, changed or gone", settings)
        return await read_report(SqliteState(state))

    return run_to_end(delete(), settings)


def finish(ctx: click.Context, state: Path, report: Report) -> NoReturn:
    """Show a report with the rows that are not done, and end with its status."""
    settings = ctx.ensure_object(Settings)
    show_report(report, run_to_end(_troubled(state), settings), settings)
    if any(duplicate.deletable for duplicate in report.duplicates) and not ctx.params.get("deletes"):
        tell_how_to_delete(state, settings)
    ctx.exit(report.exit_status)


async def _troubled(state: Path) -> list[Outcome]:
    async with aclosing(read_outcomes(SqliteState(state))) as outcomes:
        return [outcome async for outcome in outcomes if outcome.status in {"failed", "review"}]

"""`provision status`, `drift`, `audit` and `duplicates`: check the state and the account."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NoReturn

import click

from plivo_endpoints.cli.options import Settings, json_option, shared_options
from plivo_endpoints.cli.progress import walk_shown
from plivo_endpoints.cli.provision.options import EXIT_STATUS, read_rate, run_to_end, state_option
from plivo_endpoints.cli.provision.output import (
    is_confirmed,
    print_note,
    show_delete_command,
    show_drift,
    show_duplicates,
    show_report,
)
from plivo_endpoints.provisioning import AsyncFleet
from plivo_endpoints.provisioning._maintenance import read_report, read_workers
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.provisioning._results import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import Duplicate, Outcome, Report, Step, Worker


_DRIFT_STATUS: Final = """
\b
Exit status:
  0  nothing has changed
  1  refused or failed
  2  wrong usage, or no credentials
  3  endpoints have changed or are gone
"""
_DUPLICATES_STATUS: Final = """
\b
Exit status:
  0  there are no duplicates, or all of them were deleted
  1  refused or failed
  2  wrong usage, or no credentials
  3  there are duplicates
"""


@click.command(epilog=EXIT_STATUS)
@state_option(exists=True)
@json_option
@click.pass_context
def status(ctx: click.Context, /, state: State) -> None:
    """Show the status of the last run.

    It reads only the state, and can be used during a run. Rows that failed or need review are listed. If the
    state is in a database, the processes that work on it are listed too.
    """
    settings = ctx.ensure_object(Settings)
    report = run_to_end(read_report(state), settings)
    workers = run_to_end(read_workers(state), settings)
    finish(ctx, state, report, workers=workers)


@click.command(epilog=_DRIFT_STATUS)
@state_option(exists=True)
@shared_options
@click.pass_context
def drift(ctx: click.Context, /, state: State) -> None:
    """Show what has changed on the account since the last run.

    It compares the state with the account and changes neither. It lists endpoints whose alias or application
    was changed, which `apply` changes back, and endpoints that are gone, which `apply --recreate` creates
    again.
    """
    settings = ctx.ensure_object(Settings)

    async def compare() -> tuple[Step, ...]:
        async with (
            settings.connect_async(read_rate(None, state)) as client,
            walk_shown(quiet=settings.as_json),
        ):
            return await AsyncFleet(client, state).drift()

    steps = run_to_end(compare(), settings)
    show_drift(steps, settings)
    ctx.exit(ExitStatus.REVIEW if steps else ExitStatus.DONE)


@click.command(epilog=EXIT_STATUS)
@state_option(exists=True)
@shared_options
@click.pass_context
def audit(ctx: click.Context, /, state: State) -> None:
    """Check that each row has exactly one endpoint.

    Every run ends with an audit. This command repeats it, as a create whose answer was lost may have been
    carried out since.
    """
    finish(ctx, state, run_to_end(_audit(ctx.ensure_object(Settings), state), ctx.ensure_object(Settings)))


@click.command(epilog=_DUPLICATES_STATUS)
@state_option(exists=True)
@click.option("--delete", "deletes", is_flag=True, help="Delete the deletable ones, after confirmation.")
@click.option("--yes", is_flag=True, help="Delete without confirmation.")
@shared_options
@click.pass_context
def duplicates(ctx: click.Context, /, state: State, *, deletes: bool, yes: bool) -> None:
    """Find duplicate endpoints of rows, and delete them.

    An endpoint can be deleted only if a create of this fleet whose answer was lost may have made it.
    Endpoints that a phone is registered with are kept.
    """
    settings = ctx.ensure_object(Settings)
    if yes and not deletes:
        raise click.UsageError("--yes needs --delete")
    if deletes and not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to confirm --delete: add --yes")
    report = run_to_end(_audit(settings, state), settings)
    if deletes:
        report = _delete(settings, state, report, yes=yes)
    show_duplicates(report.duplicates, settings)
    if not deletes and any(duplicate.deletable for duplicate in report.duplicates):
        show_delete_command(state, settings)
    ctx.exit(ExitStatus.REVIEW if report.duplicates else ExitStatus.DONE)


async def _audit(settings: Settings, state: State) -> Report:
    async with settings.connect_async(read_rate(None, state)) as client, walk_shown(quiet=settings.as_json):
        return await AsyncFleet(client, state).audit()


def _delete(settings: Settings, state: State, report: Report, *, yes: bool) -> Report:
    deletable: list[Duplicate] = [duplicate for duplicate in report.duplicates if duplicate.deletable]
    if not deletable or not (yes or is_confirmed(deletable)):
        return report

    async def delete() -> Report:
        async with settings.connect_async(read_rate(None, state)) as client:
            deleted = await AsyncFleet(client, state).delete_duplicates()
        left = len(deletable) - len(deleted)
        more = f", {left} skipped: registered, changed or gone" if left else ""
        print_note(f"{len(deleted)} deleted{more}.", settings)
        return await read_report(state)

    return run_to_end(delete(), settings)


def finish(
    ctx: click.Context,
    state: State,
    report: Report,
    *,
    only: Collection[str] | None = None,
    workers: Sequence[Worker] = (),
) -> NoReturn:
    """Show a report, who works on it and the rows (`only` these) in trouble; exit with its status."""
    settings = ctx.ensure_object(Settings)
    show_report(report, run_to_end(_troubled(state, only), settings), settings, workers)
    if any(duplicate.deletable for duplicate in report.duplicates):
        show_delete_command(state, settings)
    ctx.exit(report.exit_status)


async def _troubled(state: State, only: Collection[str] | None) -> list[Outcome]:
    async with aclosing(read_outcomes(state)) as outcomes:
        return [
            outcome
            async for outcome in outcomes
            if outcome.status in {"failed", "review"} and (only is None or outcome.key in only)
        ]

"""`provision apply`: make the changes that the plan shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from plivo_endpoints.cli.files import form_of, new_file_option
from plivo_endpoints.cli.options import Settings, shared_options
from plivo_endpoints.cli.progress import RateMeter, shown
from plivo_endpoints.cli.provision.abort import cleanup_on_abort
from plivo_endpoints.cli.provision.check import finish
from plivo_endpoints.cli.provision.options import (
    EXIT_STATUS,
    FILE,
    only_option,
    rate_option,
    read_rate,
    run_to_end,
    state_option,
)
from plivo_endpoints.cli.provision.output import note_if_not_compared, print_note
from plivo_endpoints.cli.provision.results import write_results
from plivo_endpoints.cli.provision.source import source_argument
from plivo_endpoints.provisioning import AsyncFleet, load_plan
from plivo_endpoints.provisioning._listing import watched_walks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plivo_endpoints.provisioning import Report, RowSource


@click.command(epilog=EXIT_STATUS)
@source_argument
@state_option(exists=False)
@click.option(
    "--plan",
    "plan_file",
    type=FILE,
    help="Refuse to start if the source or the account has changed since this plan.",
)
@only_option
@click.option(
    "--import",
    "import_existing",
    is_flag=True,
    help="Take over an existing endpoint if it is the only match for a row.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="If a username was edited, create a new endpoint and delete the old one.",
)
@click.option("--recreate", is_flag=True, help="Create again endpoints that somebody has deleted.")
@click.option("--delete", is_flag=True, help="Delete the endpoints of rows that are no longer in SOURCE.")
@click.option(
    "--delete-limit",
    type=click.IntRange(0),
    metavar="N",
    help="Delete at most N endpoints. [default: 10, or a tenth of all if that is more]",
)
@click.option(
    "--even-registered", is_flag=True, help="Also delete endpoints that a phone is registered with."
)
@new_file_option("--results", explanation="Write the result of each row to a new file, *.csv or *.jsonl.")
@rate_option
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    default=32,
    show_default=True,
    help="Concurrent requests.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="How long until a create with a lost answer counts as not carried out.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(1),
    metavar="N",
    default=20,
    show_default=True,
    help="Stop after Plivo has refused N consecutive rows.",
)
@shared_options
@click.pass_context
def apply(
    ctx: click.Context,
    /,
    *,
    source: RowSource,
    state: Path,
    plan_file: Path | None,
    results: Path | None,
    rate: str | None,
    **options: Any,  # noqa: ANN401 - as `AsyncFleet.apply` takes them
) -> None:
    """Change the account's endpoints to match SOURCE.

    SOURCE is a file, or - for standard input.

    New rows are created and edited rows are updated. An endpoint is taken over, replaced, created again or
    deleted only with the option that allows it. (If the deletion of a row's endpoint had started and the row
    is back, it is finished in any case, and the row gets a new endpoint.) After a crash, a power cut or
    Ctrl-C, the same command continues where it stopped. SOURCE may be edited between runs: rows are
    identified by their keys.
    """
    settings = ctx.ensure_object(Settings)
    limit = read_rate(rate, state)
    _check_usage(options, plan_file)
    if results is not None:
        form_of(results)  # refuse a name without a known suffix now, not after hours

    async def work() -> Report:
        expected = None if plan_file is None else load_plan(plan_file)
        with watched_walks() as walk:
            async with (
                settings.connect_async(limit) as client,
                AsyncFleet(client, state).apply(source, plan=expected, **options) as run,
                shown(RateMeter(run, walk), quiet=settings.as_json),
            ):
                async for _ in run:
                    pass
        return run.report

    is_first = not state.exists()
    with cleanup_on_abort(ctx, state):
        report = run_to_end(work(), settings)
    if not is_first:
        note_if_not_compared(settings)
    if results is not None:
        run_to_end(write_results(state, results, settings=settings), settings)
        print_note(f"The result of each row is in {results}.", settings)
    finish(ctx, state, report, only=options["only"])


def _check_usage(options: Mapping[str, object], plan_file: Path | None) -> None:
    if plan_file is not None and options["only"]:
        raise click.UsageError("--only cannot be used with --plan, which is for all rows")
    for name in ("delete_limit", "even_registered"):
        if options[name] not in {None, False} and not options["delete"]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --delete")

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
    has_begun,
    only_option,
    rate_option,
    read_rate,
    run_to_end,
    state_option,
)
from plivo_endpoints.cli.provision.output import note_if_not_compared, print_note
from plivo_endpoints.cli.provision.results import write_results
from plivo_endpoints.cli.provision.run_options import check_permissions, pace_options, permission_options
from plivo_endpoints.cli.provision.source import source_argument
from plivo_endpoints.provisioning import AsyncFleet, load_plan
from plivo_endpoints.provisioning._listing import watched_walks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._config import RateLimit
    from plivo_endpoints._shared_window import RateLimitStore
    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import Report, RowSource, Run


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
@permission_options
@new_file_option("--results", explanation="Write the result of each row to a new file, *.csv or *.jsonl.")
@rate_option
@pace_options
@shared_options
@click.pass_context
def apply(
    ctx: click.Context,
    /,
    *,
    source: RowSource,
    state: State,
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
        return await follow_run(
            lambda client: AsyncFleet(client, state).apply(source, plan=expected, **options), limit, settings
        )

    is_first = not has_begun(state, settings)
    with cleanup_on_abort(ctx, state):
        report = run_to_end(work(), settings)
    if not is_first:
        note_if_not_compared(settings)
    if results is not None:
        run_to_end(write_results(state, results, settings=settings), settings)
        print_note(f"The result of each row is in {results}.", settings)
    finish(ctx, state, report, only=options["only"])


async def follow_run(
    begin: Callable[[AsyncClient], AbstractAsyncContextManager[Run]],
    limit: RateLimit | RateLimitStore,
    settings: Settings,
) -> Report:
    """Follow a run to its end, with its progress shown; return its report."""
    with watched_walks() as walk:
        async with (
            settings.connect_async(limit) as client,
            begin(client) as run,
            shown(RateMeter(run, walk), quiet=settings.as_json),
        ):
            async for _ in run:
                pass
    return run.report


def _check_usage(options: Mapping[str, object], plan_file: Path | None) -> None:
    if plan_file is not None and options["only"]:
        raise click.UsageError("--only cannot be used with --plan, which is for all rows")
    check_permissions(options)

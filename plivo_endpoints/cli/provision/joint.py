"""`provision work`, `enqueue` and `state upgrade`: a fleet whose state several processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from plivo_endpoints.cli.options import Settings, json_option, shared_options
from plivo_endpoints.cli.provision.apply import follow_run
from plivo_endpoints.cli.provision.check import finish
from plivo_endpoints.cli.provision.options import (
    EXIT_STATUS,
    rate_option,
    read_rate,
    run_to_end,
    shared_state_option,
)
from plivo_endpoints.cli.provision.output import print_note
from plivo_endpoints.cli.provision.run_options import check_permissions, pace_options, permission_options
from plivo_endpoints.cli.provision.source import source_argument
from plivo_endpoints.provisioning import AsyncFleet

if TYPE_CHECKING:
    from plivo_endpoints.provisioning import PostgresState, RowSource

_ENQUEUE_STATUS: Final = """
\b
Exit status:
  0  the rows are in the state
  1  refused or failed
  2  wrong usage, a source that breaks a rule, or no credentials
"""
_UPGRADE_STATUS: Final = """
\b
Exit status:
  0  the tables are those of this version
  1  refused or failed
"""


@click.command(epilog=EXIT_STATUS)
@shared_state_option
@rate_option
@pace_options
@shared_options
@click.pass_context
def work(ctx: click.Context, /, *, state: PostgresState, rate: str | None, **options: Any) -> None:  # noqa: ANN401 - as `AsyncFleet.work` takes them
    """Take part in a run without its source.

    It takes the rows from the state in a database, derives their passwords from PLIVO_PROVISION_KEY, and
    ends with the run. Any number of hosts can do this at once, beside those with the source that `apply` it.
    Rows with a password of their own need `apply`.
    """
    settings = ctx.ensure_object(Settings)
    limit = read_rate(rate, state)

    running = follow_run(lambda client: AsyncFleet(client, state).work(**options), limit, settings)
    finish(ctx, state, run_to_end(running, settings))


@click.command(epilog=_ENQUEUE_STATUS)
@source_argument
@shared_state_option
@permission_options
@shared_options
@click.pass_context
def enqueue(ctx: click.Context, /, *, source: RowSource, state: PostgresState, **options: Any) -> None:  # noqa: ANN401 - as `AsyncFleet.enqueue` takes them
    """Put SOURCE into a state for workers, and send nothing.

    The workers are `provision work`, or a task queue (see docs/guides/several-machines.md). SOURCE is a
    file, or - for standard input. Its passwords must be derived, as a database gets none.
    """
    settings = ctx.ensure_object(Settings)
    check_permissions(options)

    async def put() -> int:
        async with settings.connect_async() as client:
            return await AsyncFleet(client, state).enqueue(source, **options)

    rows = run_to_end(put(), settings)
    if settings.as_json:
        settings.output().record({"rows": rows})
    else:
        print_note(f"Queued {rows} rows for workers.", settings)


@click.group()
def state() -> None:
    """Manage the tables of a state in a database."""


@state.command(epilog=_UPGRADE_STATUS)
@shared_state_option
@json_option
@click.pass_context
def upgrade(ctx: click.Context, /, *, state: PostgresState) -> None:
    """Create the tables, or bring them to this version of the program.

    No run may be in progress. If the database's user may not do that, let the database's owner do it, and
    grant the user SELECT, INSERT, UPDATE and DELETE on the tables plivo_*.
    """
    settings = ctx.ensure_object(Settings)
    before, after = run_to_end(state.upgrade(), settings)
    read_rate(None, state)  # creates the table of the rate limit
    if settings.as_json:
        settings.output().record({"before": before, "after": after})
    elif before == after:
        print_note(f"The tables are already at version {after}.", settings)
    else:
        print_note(f"The tables are now at version {after} (before: {before or 'none'}).", settings)

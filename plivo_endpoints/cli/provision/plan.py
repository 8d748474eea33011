"""`provision plan` and `provision validate`: show what would be done, and check a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from plivo_endpoints.cli.files import atomic_path, new_file_option
from plivo_endpoints.cli.options import Settings, json_option, shared_options
from plivo_endpoints.cli.progress import walk_shown
from plivo_endpoints.cli.provision.options import (
    has_begun,
    only_option,
    per_second,
    rate_option,
    read_rate,
    run_to_end,
    state_option,
)
from plivo_endpoints.cli.provision.output import note_if_not_compared, print_note
from plivo_endpoints.cli.provision.plan_output import show_markdown, show_plan
from plivo_endpoints.cli.provision.source import source_argument
from plivo_endpoints.provisioning import AsyncFleet, save_plan
from plivo_endpoints.provisioning._load import count_rows
from plivo_endpoints.provisioning._report import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import Plan, RowSource

_STATUS: Final = """
\b
Exit status:
  0  every step can be done
  1  refused or failed
  2  wrong usage, a source that breaks a rule, or no credentials
  3  a row needs a decision or a permission, other than --delete
  4  with --detailed-exitcode: there is something to do
"""


_VALIDATE_STATUS: Final = """
\b
Exit status:
  0  every row can be used
  1  failed: a file that cannot be read, for example
  2  wrong usage, or a source that breaks a rule
"""


_CHANGES: Final = 4  # the exit status


@click.command(epilog=_STATUS)
@source_argument
@state_option(exists=False)
@only_option
@rate_option
@new_file_option("--out", explanation="Save the plan to a new file, for apply --plan.")
@click.option("--markdown", is_flag=True, help="Print a table for a pull request.")
@click.option(
    "--detailed-exitcode", "detailed", is_flag=True, help="Exit with 4 if there is something to do."
)
@shared_options
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    *,
    source: RowSource,
    state: State,
    only: tuple[str, ...] | None,
    rate: str | None,
    out: Path | None,
    markdown: bool,
    detailed: bool,
) -> None:
    """Show what apply would do.

    It compares SOURCE (a file, or - for standard input) with the state of earlier runs and with the account,
    and changes neither. Without a master key in PLIVO_PROVISION_KEY, passwords cannot be compared: a password
    is sent again only if password_version was edited.
    """
    settings = ctx.ensure_object(Settings)
    if markdown and settings.as_json:
        raise click.UsageError("--json and --markdown cannot be used together")
    if only and out is not None:
        raise click.UsageError("--only cannot be used with --out, which saves a plan for all rows")
    limit = read_rate(rate, state)

    async def compare() -> Plan:
        async with settings.connect_async(limit) as client, walk_shown(quiet=settings.as_json):
            return await AsyncFleet(client, state).plan(source, only=only)

    found = run_to_end(compare(), settings)
    if out is not None:
        with atomic_path(out) as temporary:
            save_plan(found, temporary)
    if markdown:
        show_markdown(found)
    else:
        show_plan(found, settings, per_second(limit))
    if has_begun(state, settings):
        note_if_not_compared(settings)
    if out is not None:
        print_note(f"The plan is in {out}.", settings)
    if any(step.kind == "conflict" or step.needs for step in found.steps if step.needs != "delete"):
        ctx.exit(ExitStatus.REVIEW)
    ctx.exit(_CHANGES if detailed and found.steps else ExitStatus.DONE)


@click.command(epilog=_VALIDATE_STATUS)
@source_argument
@json_option
@click.pass_context
def validate(ctx: click.Context, /, source: RowSource) -> None:
    """Check that every row of SOURCE can be used.

    It works offline and needs no credentials. Rows without a password need PLIVO_PROVISION_KEY.
    """
    settings = ctx.ensure_object(Settings)
    rows = run_to_end(count_rows(source), settings)
    if settings.as_json:
        settings.output().record({"rows": rows})
    else:
        click.echo(f"{rows} rows can be used." if rows != 1 else "1 row can be used.")

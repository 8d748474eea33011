"""`provision plan` and `provision validate`: what would be done, and whether a source is right."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from plivo_endpoints.cli.files import made_whole, new_file_option
from plivo_endpoints.cli.provision.options import RATE, rate_option, run_to_end, state_option
from plivo_endpoints.cli.provision.output import tell
from plivo_endpoints.cli.provision.plan_output import show_markdown, show_plan
from plivo_endpoints.cli.provision.source import source_argument
from plivo_endpoints.cli.settings import Settings, json_option, shared_options
from plivo_endpoints.provisioning import AsyncFleet, save_plan
from plivo_endpoints.provisioning._load import count_rows
from plivo_endpoints.provisioning._report import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from plivo_endpoints.provisioning import Plan, RowSource

_STATUS: Final = """
\b
Exit status:
  0  nothing stands in the way
  1  refused or failed
  2  wrong usage, a source that breaks a rule, or no credentials
  3  a person has to decide or to allow something
  4  with --detailed-exitcode: there is something to do
"""


class _Detailed(IntEnum):
    CHANGES = 4


@click.command(epilog=_STATUS)
@source_argument
@state_option(exists=False)
@rate_option
@new_file_option("--out", explanation="Save the plan in a new file, for apply --plan.")
@click.option("--markdown", is_flag=True, help="Print a table for a pull request.")
@click.option("--detailed-exitcode", "detailed", is_flag=True, help="End with 4 if there is something to do.")
@shared_options
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    *,
    source: RowSource,
    state: Path,
    rate: int | None,
    out: Path | None,
    markdown: bool,
    detailed: bool,
) -> None:
    """Show what apply would do.

    It compares SOURCE, a file or - for standard input, with the state of earlier runs and with the account,
    which are only read. Nothing is written but the plan, with --out.
    """
    settings = ctx.ensure_object(Settings)
    if markdown and settings.as_json:
        raise click.UsageError("--json is a form of its own: leave out --markdown")

    async def compare() -> Plan:
        async with settings.connect_async(rate) as client:
            return await AsyncFleet(client, state).plan(source)

    found = run_to_end(compare(), settings)
    if out is not None:
        with made_whole(out) as unfinished:
            save_plan(found, unfinished)
    if markdown:
        show_markdown(found)
    else:
        show_plan(found, settings, rate or RATE)
    if out is not None:
        tell(f"The plan is in {out}.", settings)
    if any(step.kind == "conflict" or step.needs for step in found.steps if step.needs != "delete"):
        ctx.exit(ExitStatus.REVIEW)
    ctx.exit(_Detailed.CHANGES if detailed and found.steps else ExitStatus.DONE)


@click.command()
@source_argument
@json_option
@click.pass_context
def validate(ctx: click.Context, /, source: RowSource) -> None:
    """Look whether every row of SOURCE can be used.

    Nobody is asked, and no credentials are needed; rows without a password need PLIVO_PROVISION_KEY.
    """
    settings = ctx.ensure_object(Settings)
    rows = run_to_end(count_rows(source), settings)
    if settings.as_json:
        settings.output().record({"rows": rows})
    else:
        click.echo(f"{rows} rows can be used." if rows != 1 else "1 row can be used.")

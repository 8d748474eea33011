"""`provision results`: print or save the result of each row."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.cli.files import form_of, new_file, new_file_option
from plivo_endpoints.cli.options import NextStep, Settings, json_option
from plivo_endpoints.cli.output import JsonArray
from plivo_endpoints.cli.provision.options import (
    EXIT_STATUS,
    run_to_end,
    state_option,
)
from plivo_endpoints.cli.provision.source import passwords_option
from plivo_endpoints.provisioning import Outcome
from plivo_endpoints.provisioning._maintenance import read_report
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._report import STATUSES
from plivo_endpoints.provisioning._results import SipCredentials, read_credentials, read_outcomes, writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import RowSource
    from plivo_endpoints.provisioning._results import Form

    Write = Callable[[Outcome], None]

_WRITE_AGAIN: Final = "The state is intact. To write the results again, with enough space or elsewhere:"
_EXAMPLES: Final = """
\b
Examples:
  plivo-endpoints provision results --out made.csv
  plivo-endpoints provision results --status failed --status review --json
  plivo-endpoints provision results --passwords users.csv --out secret.jsonl
"""


@click.command(epilog=_EXAMPLES + EXIT_STATUS)
@state_option(exists=True)
@new_file_option("--out", explanation="Write to a new file, *.csv or *.jsonl, which only you can read.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    help="The format, if it does not follow from the name of --out.",
)
@click.option("--status", "kept", type=click.Choice(STATUSES), multiple=True, help="Only these rows.")
@passwords_option
@json_option
@click.pass_context
def results(
    ctx: click.Context,
    /,
    *,
    state: State,
    out: Path | None,
    form: Form | None,
    kept: tuple[str, ...],
    source: RowSource | None,
) -> None:
    """Show the result of each row.

    It reads only the state, and can be used during a run. Without --out it prints JSON lines, with --format
    csv CSV, and with --json one array. The exit status is that of the run.
    """
    settings = ctx.ensure_object(Settings)
    if source is not None and out is None:
        raise click.UsageError(
            "--passwords needs --out: passwords are written only to a file, which only you can read"
        )
    if out is None and form is not None and settings.as_json:
        raise click.UsageError("--json and --format cannot be used together without --out")
    form = form or ("jsonl" if out is None else form_of(out))
    if source is not None and form == "csv":
        raise click.UsageError(
            "--passwords writes JSON lines only: escaping for CSV would change some passwords"
        )
    kept = kept or STATUSES
    if out is None:
        run_to_end(_print(state, form, kept, as_json=settings.as_json), settings)
    else:
        count = run_to_end(
            write_results(state, out, form, kept=kept, source=source, settings=settings), settings
        )
        settings.output().record({"file": str(out), "rows": count})
    ctx.exit(run_to_end(read_report(state), settings).exit_status)


async def write_results(
    state: State,
    out: Path,
    form: Form | None = None,
    *,
    kept: tuple[str, ...] = STATUSES,
    source: RowSource | None = None,
    settings: Settings,
) -> int:
    """Write the result of each row to a new file, and return the number of rows written."""
    form = form or form_of(out)
    outcomes = (
        read_outcomes(state) if source is None else read_credentials(state, source, master_key_of(None))
    )
    try:
        with new_file(out) as file:
            write = writer(file, form, Outcome if source is None else SipCredentials)
            return await _write(outcomes, write, kept)
    except OSError as error:
        error.filename = error.filename or str(out)  # an error for a full disk names no file
        words = ("provision", "results", "--state", str(state), "--out", str(out))
        settings.next_step = NextStep("write_again_with", _WRITE_AGAIN, command_line(words))
        raise


async def _print(state: State, form: Form, kept: tuple[str, ...], *, as_json: bool) -> None:
    if not as_json:
        await _write(read_outcomes(state), writer(sys.stdout, form, Outcome), kept)
        return
    array = JsonArray()
    await _write(read_outcomes(state), lambda outcome: array.add(asdict(outcome)), kept)
    array.end()


async def _write(
    outcomes: AsyncGenerator[Outcome] | AsyncGenerator[SipCredentials], write: Write, kept: tuple[str, ...]
) -> int:
    count = 0
    async with aclosing(outcomes):
        async for outcome in outcomes:
            if outcome.status in kept:
                write(outcome)
                count += 1
    return count

"""`provision import` and `provision export`: bring endpoints of the account into a state or a file."""

from __future__ import annotations

import csv
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import click

from plivo_endpoints.cli.files import new_file, new_file_option
from plivo_endpoints.cli.options import Settings, base_url_option, shared_options
from plivo_endpoints.cli.provision.options import read_rate, run_to_end, state_option
from plivo_endpoints.cli.provision.output import print_note
from plivo_endpoints.provisioning import AsyncFleet
from plivo_endpoints.provisioning._entries import DOCUMENTED_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

    from plivo_endpoints import Endpoint
    from plivo_endpoints.cli.provision.options import State
    from plivo_endpoints.provisioning import Outcome, Status

# What is left to do for a row after its import.
_NEXT: Final[Mapping[Status, str]] = {"imported": "nothing to do", "unprocessed": "apply updates it"}
_COLUMNS: Final = ("username", "alias", "app_id", "endpoint_id")


_IMPORT_STATUS: Final = """
\b
Exit status:
  0  done
  1  refused or failed; no row was imported
  2  wrong usage, or no credentials
"""
_EXPORT_HELP: Final = """
\b
To manage these endpoints with `provision` from now on:
  plivo-endpoints provision export --out users.csv
  plivo-endpoints provision apply users.csv --import --ignore-column endpoint_id

\b
Exit status:
  0  done
  1  refused or failed; no file is left
  2  wrong usage, or no credentials
"""


@click.command("import", epilog=_IMPORT_STATUS)
@click.argument("pairs", metavar="KEY=ENDPOINT_ID...", nargs=-1, required=True)
@state_option(exists=True)
@shared_options
@click.pass_context
def import_(ctx: click.Context, /, pairs: tuple[str, ...], state: State) -> None:
    """Assign endpoints to rows.

    This resolves conflicts that only a person can decide. The endpoint of a row that is no longer in the
    source can be assigned; that of another row is refused.
    """
    settings = ctx.ensure_object(Settings)
    wanted = [_read(pair) for pair in pairs]

    if len({key for key, _ in wanted}) < len(wanted):
        raise click.UsageError("the same key is given twice")

    async def work() -> tuple[Outcome, ...]:
        async with settings.connect_async(read_rate(None, state)) as client:
            return await AsyncFleet(client, state).import_endpoints(dict(wanted))

    outcomes = run_to_end(work(), settings)
    rows = [
        {"key": key, "endpoint_id": endpoint_id, "next": _NEXT[outcome.status]}
        for (key, endpoint_id), outcome in zip(wanted, outcomes, strict=True)
    ]
    settings.output().listing(("key", "endpoint_id", "next"), [rows])


def _read(pair: str) -> tuple[str, str]:
    key, between, endpoint_id = pair.rpartition("=")
    if not (key and between and endpoint_id):
        raise click.BadParameter(f"{pair!r} is not KEY=ENDPOINT_ID", param_hint="KEY=ENDPOINT_ID")
    return key, endpoint_id


@click.command(epilog=_EXPORT_HELP)
@new_file_option("--out", explanation="Write to a new file, which only you can read.")
@base_url_option
@click.pass_context
def export(ctx: click.Context, /, out: Path | None) -> None:
    """Write the account's endpoints as a CSV source, with their ids.

    The usernames are written without the digits that Plivo appended. Passwords cannot be read from Plivo: add
    a column for them, or set PLIVO_PROVISION_KEY.
    """
    settings = ctx.ensure_object(Settings)

    async def work(file: TextIO) -> int:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        count = 0
        async with settings.connect_async() as client, aclosing(aiter(client.endpoints.list())) as endpoints:
            async for endpoint in endpoints:
                if row := _row(endpoint):
                    rows.writerow(row)
                    count += 1
                else:
                    print_note(
                        f"Left out: endpoint {endpoint.endpoint_id}, because its username does not end in "
                        f"{DOCUMENTED_SUFFIX} digits, or it has no alias",
                        settings,
                    )
        return count

    if out is None:
        run_to_end(work(sys.stdout), settings)
        return
    with new_file(out) as file:
        count = run_to_end(work(file), settings)
    print_note(f"{count} endpoints are in {out}.", settings)


def _row(endpoint: Endpoint) -> tuple[str, str, str, str] | None:
    made_as, alias = endpoint.username or "", endpoint.alias
    username, digits = made_as[:-DOCUMENTED_SUFFIX], made_as[-DOCUMENTED_SUFFIX:]
    if not username or not alias or not (digits.isascii() and digits.isdigit()):
        return None
    return username, alias, endpoint.application_id or "", endpoint.endpoint_id

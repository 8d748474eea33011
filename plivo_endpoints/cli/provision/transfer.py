"""`provision import` and `provision export`: from the account into a state or a file."""

from __future__ import annotations

import csv
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.files import new_file, new_file_option
from plivo_endpoints.cli.provision.options import run_to_end, state_option
from plivo_endpoints.cli.provision.output import tell
from plivo_endpoints.cli.settings import Settings, shared_options
from plivo_endpoints.provisioning import AsyncFleet
from plivo_endpoints.provisioning._entries import DOCUMENTED_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from plivo_endpoints import Endpoint
    from plivo_endpoints.provisioning import Outcome

_COLUMNS: Final = ("username", "alias", "app_id", "endpoint_id")


@click.command("import")
@click.argument("pairs", metavar="KEY=ENDPOINT_ID...", nargs=-1, required=True)
@state_option(exists=True)
@shared_options
@click.pass_context
def import_(ctx: click.Context, /, pairs: tuple[str, ...], state: Path) -> None:
    """Settle which endpoint a row is.

    For conflicts that only a person can decide. An endpoint that belonged to a key which the source has no
    more is taken over from that; one of another row is refused.
    """
    settings = ctx.ensure_object(Settings)
    wanted = [_read(pair) for pair in pairs]

    async def work() -> list[Outcome]:
        async with settings.connect_async() as client:
            fleet = AsyncFleet(client, state)
            return [await fleet.import_endpoint(key, endpoint_id) for key, endpoint_id in wanted]

    for outcome in run_to_end(work(), settings):
        settings.output().record(
            {
                name: value
                for name, value in asdict(outcome).items()
                if name in {"key", "status", "endpoint_id"}
            }
        )


def _read(pair: str) -> tuple[str, str]:
    key, between, endpoint_id = pair.rpartition("=")
    if not (key and between and endpoint_id):
        raise click.BadParameter(f"{pair!r} is not KEY=ENDPOINT_ID", param_hint="KEY=ENDPOINT_ID")
    return key, endpoint_id


@click.command()
@new_file_option(
    "--out", explanation="Write to a new file, which only you may read; else to standard output."
)
@shared_options
@click.pass_context
def export(ctx: click.Context, /, out: Path | None) -> None:
    """Write the account's endpoints as a CSV source, with their ids.

    The usernames are without the digits that Plivo appended. Passwords cannot be read: add that column, or
    set PLIVO_PROVISION_KEY. To take the endpoints over:

    plivo-endpoints provision apply users.csv --ignore-column endpoint_id --import
    """
    settings = ctx.ensure_object(Settings)
    if settings.as_json:
        raise click.UsageError("export writes CSV; `endpoints list --json` lists the account as JSON")

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
                    tell(
                        f"Left out: endpoint {endpoint.endpoint_id}, whose name or alias is no row's",
                        settings,
                    )
        return count

    if out is None:
        run_to_end(work(sys.stdout), settings)
        return
    with new_file(out) as file:
        count = run_to_end(work(file), settings)
    tell(f"{count} endpoints are in {out}.", settings)


def _row(endpoint: Endpoint) -> tuple[str, str, str, str] | None:
    made_as, alias = endpoint.username or "", endpoint.alias
    username, digits = made_as[:-DOCUMENTED_SUFFIX], made_as[-DOCUMENTED_SUFFIX:]
    if not username or not alias or not (digits.isascii() and digits.isdigit()):
        return None
    return username, alias, endpoint.application_id or "", endpoint.endpoint_id

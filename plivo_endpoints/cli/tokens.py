"""`token`."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from attrs import asdict

from plivo_endpoints.cli.options import Settings, shared_options


def _read_time(_: click.Context, __: click.Parameter, value: str | None) -> datetime | int | None:
    # The client checks whether a token may have this time.
    if value is None:
        return None
    try:
        time = int(value) if value.isdecimal() else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a time such as 2026-01-31T12:00:00Z, or epoch seconds") from None
    if isinstance(time, datetime) and time.tzinfo is None:
        raise click.BadParameter("must have a UTC offset, such as the Z of 2026-01-31T12:00:00Z")
    return time


@click.command
@click.option("--sub", help="The username of the endpoint that logs in. Required for incoming calls.")
@click.option("--incoming", is_flag=True, help="Allow incoming calls.")
@click.option("--outgoing", is_flag=True, help="Allow outgoing calls.")
@click.option(
    "--lifetime",
    type=click.IntRange(180, 86_400),
    metavar="SECONDS",
    help="From 180 to 86400. [default: 24 hours]",
)
@click.option(
    "--nbf",
    metavar="TIME",
    callback=_read_time,
    help="When it becomes valid, in ISO 8601 with an offset or in epoch seconds. [default: now]",
)
@click.option("--app", metavar="ID", help="The application that handles its calls.")
@shared_options
@click.pass_obj
def token(
    settings: Settings,
    sub: str | None,
    lifetime: int | None,
    nbf: datetime | int | None,
    app: str | None,
    *,
    incoming: bool,
    outgoing: bool,
) -> None:
    """Mint a token for a browser or phone. The token is a secret until it expires."""
    with settings.connect() as client:
        minted = client.tokens.create(
            sub=sub,
            lifetime=None if lifetime is None else timedelta(seconds=lifetime),
            nbf=nbf,
            app=app,
            incoming_allow=incoming,
            outgoing_allow=outgoing,
        )
    settings.output().record(asdict(minted))
    if not incoming and not outgoing:
        click.echo("Warning: without --incoming or --outgoing the token allows no calls", err=True)

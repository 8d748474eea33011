"""`token`."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from attrs import asdict

from plivo_endpoints.cli.options import Settings, shared_options


def _read_time(_: click.Context, __: click.Parameter, value: str | None) -> datetime | int | None:
    # Whether it is a time that a token may have is the client's business.
    if value is None:
        return None
    try:
        time = int(value) if value.isdecimal() else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("not a time such as 2026-01-31T12:00:00Z, nor epoch seconds") from None
    if isinstance(time, datetime) and time.tzinfo is None:
        raise click.BadParameter("a time without an offset could mean any zone: 2026-01-31T12:00:00Z has one")
    return time


@click.command
@click.option("--sub", help="Whom it lets in: an endpoint's username. Needed for incoming calls.")
@click.option("--incoming", is_flag=True, help="May take calls.")
@click.option("--outgoing", is_flag=True, help="May make calls.")
@click.option(
    "--lifetime",
    type=click.IntRange(180, 86_400),
    metavar="SECONDS",
    help="From 180 to 86400; 24 hours without it.",
)
@click.option(
    "--nbf",
    metavar="TIME",
    callback=_read_time,
    help="When it starts to be valid, in ISO 8601 with an offset or in epoch seconds; now without it.",
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
    """Mint a token for a browser or phone. What it prints is a secret until it expires."""
    with settings.connect() as client:
        minted = client.tokens.create(
            sub=sub,
            lifetime=None if lifetime is None else timedelta(seconds=lifetime),
            nbf=nbf,
            app=app,
            incoming_allow=incoming,
            outgoing_allow=outgoing,
        )
    settings.output().record({**asdict(minted), "expires_at": minted.expires_at})
    if not incoming and not outgoing:
        click.echo("Warning: without --incoming or --outgoing the token allows no call", err=True)

"""`token` and `token inspect`."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from typing import Final, TypedDict, Unpack

import click
from attrs import asdict

from plivo_endpoints._clock import CLOCK
from plivo_endpoints.cli.errors import FAILED
from plivo_endpoints.cli.inspection import MalformedTokenError, inspect_token
from plivo_endpoints.cli.options import Settings, SharingGroup, json_option, shared_options

_MAX_INPUT: Final = 65_536  # characters; Plivo's tokens have about 400
_PRINTED: Final = re.compile(r'^jwt\t(\S+)|^\{"jwt": "([^"]+)"')  # by `token`, in a pipe
_INSPECT_EXAMPLE: Final = """
\b
Examples:
  plivo-endpoints token --sub alice250101120000 --outgoing | plivo-endpoints token inspect
  plivo-endpoints token inspect --json < token.txt | jq .seconds_left

\b
Exit status:
  0  usable now, if its signature is right
  1  not usable: expired, not yet valid, with problems, or not a token
  2  wrong usage
"""


class _TokenGroup(SharingGroup):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            # click's own message would repeat the argument, which may well be a token.
            raise click.UsageError("the only command of token is inspect", ctx)
        return super().resolve_command(ctx, args)


class _Wanted(TypedDict):
    sub: str | None
    lifetime: int | None
    nbf: datetime | int | None
    app: str | None
    incoming: bool
    outgoing: bool


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


@click.group(cls=_TokenGroup, invoke_without_command=True, subcommand_metavar="| inspect [JWT|-]")
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
@click.pass_context
def token(ctx: click.Context, /, **wanted: Unpack[_Wanted]) -> None:
    """Mint a token for a browser or phone. The token is a secret until it expires.

    `token inspect` shows what a given token allows, and for how long. Of these options, it has only --json.
    """
    if ctx.invoked_subcommand is None:
        _mint(ctx.ensure_object(Settings), wanted)
    elif any(value is not None and value is not False for value in wanted.values()):
        raise click.UsageError("inspect cannot be combined with options for a new token")


def _mint(settings: Settings, wanted: _Wanted) -> None:
    lifetime = wanted["lifetime"]
    with settings.connect() as client:
        minted = client.tokens.create(
            sub=wanted["sub"],
            lifetime=None if lifetime is None else timedelta(seconds=lifetime),
            nbf=wanted["nbf"],
            app=wanted["app"],
            incoming_allow=wanted["incoming"],
            outgoing_allow=wanted["outgoing"],
        )
    settings.output().record(asdict(minted))
    if not wanted["incoming"] and not wanted["outgoing"]:
        click.echo("Warning: without --incoming or --outgoing the token allows no calls", err=True)


@token.command(epilog=_INSPECT_EXAMPLE)
@click.argument("words", metavar="[JWT|-]", nargs=-1)
@json_option
@click.pass_context
def inspect(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show what a token allows, and for how long.

    Also why Plivo's browser SDK (version 2.2.21) or Plivo itself would refuse it. It needs no account and no
    network. The signature is not verified, as only Plivo can do that. The token itself is never printed.

    Prefer standard input, which is read without JWT or with `-` (on a terminal, from a hidden prompt): an
    argument is visible to other users of this machine, and stays in the history of the shell.
    """
    if len(words) > 1:
        raise click.UsageError("give one token at most, without blanks in it")
    found = inspect_token(_read_token(words[0] if words else "-"), CLOCK.now())
    ctx.ensure_object(Settings).output().record(found.fields())
    if not found.is_usable:
        ctx.exit(FAILED)


def _read_token(word: str) -> str:
    """Return the token, from what `token` prints, or without the white space around it and within it."""
    text = _from_stdin() if word == "-" else word
    if len(text) > _MAX_INPUT:
        raise MalformedTokenError(f"not a JWT: it is longer than {_MAX_INPUT} characters")
    if printed := _PRINTED.search(text):
        return printed[1] or printed[2]
    return "".join(line.strip() for line in text.splitlines())


def _from_stdin() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read(_MAX_INPUT + 1).decode("ascii", errors="replace")
    try:
        answer: str = click.prompt("Token", hide_input=True, err=True)
    except UnicodeDecodeError:
        click.echo(err=True)  # end the line of the prompt
        return "\ufffd"  # not raised here, as the error contains what was typed
    return answer

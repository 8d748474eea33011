"""`create`, `find-created`, `get`, `list`, `update` and `delete`."""

from __future__ import annotations

import math
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import click
from attrs import asdict
from attrs.filters import exclude

from plivo_endpoints._config import LARGEST_PAGE, PREFETCH
from plivo_endpoints.cli.errors import (
    UNKNOWN,
    list_changes_in_one_line,
    report_if_interrupted,
    report_if_output_lost,
)
from plivo_endpoints.cli.options import Settings, endpoint_argument, shared_options
from plivo_endpoints.cli.passwords import read_password, stdin_option

if TYPE_CHECKING:
    from collections.abc import Generator

    from plivo_endpoints._client import Client
    from plivo_endpoints._models import Endpoint

_COLUMNS: Final = ("endpoint_id", "username", "alias", "sip_registered", "application_id")
_FIND_EXAMPLE: Final = """
\b
Example:
  plivo-endpoints find-created --username alice --alias front-desk --sent-at 2026-01-31T12:00:00Z

\b
Exit status:
  0  one endpoint was created, or none: see the output
  1  refused or failed
  2  wrong usage, or no credentials
  3  several endpoints match: a person has to decide
"""


@click.command
@click.argument("username")
@click.option("--alias", required=True, help="A name for people.")
@click.option("--app-id", metavar="ID", help="The application that handles its calls.")
@stdin_option
@shared_options
@click.pass_obj
def create(settings: Settings, username: str, alias: str, app_id: str | None, *, from_stdin: bool) -> None:
    """Create an endpoint. A create that may have reached Plivo is never sent again.

    Plivo appends digits to USERNAME; phones register with the name that is printed. The SIP password comes
    from --password-stdin, PLIVO_ENDPOINT_PASSWORD, or a hidden prompt.
    """
    with settings.connect() as client:
        password = read_password(from_stdin=from_stdin)
        with report_if_interrupted():
            made = client.endpoints.create(username=username, password=password, alias=alias, app_id=app_id)
        with report_if_output_lost(f"endpoint {made.endpoint_id} was created as {made.username}"):
            settings.output().record(asdict(made))


def _read_moment(_: click.Context, __: click.Parameter, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter(f"{value!r} is not a time with an offset, such as 2026-01-31T12:00:00+00:00")
    if moment > datetime.now(UTC):
        raise click.BadParameter(f"{value!r} is in the future")
    return moment


@click.command("find-created", epilog=_FIND_EXAMPLE)
@click.option("--username", required=True, help="The username of the create, without the appended digits.")
@click.option("--alias", required=True, help="The alias of the create.")
@click.option(
    "--sent-at",
    required=True,
    metavar="TIME",
    callback=_read_moment,
    help="When the create was sent, in ISO 8601 with an offset.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="How long after --sent-at the create may still be carried out.",
)
@shared_options
@click.pass_context
def find_created(ctx: click.Context, /, username: str, alias: str, sent_at: datetime, settle: float) -> None:
    """Find the endpoint of a create whose outcome is unknown.

    Such a create ends with status 3 and prints this command with all its options. An endpoint matches if it
    has the same alias, and its username is the given one followed by digits. Matches are printed as by
    `list`. If nothing matches, the command looks again until --settle has passed. If there is still no match,
    nothing was created, and it is safe to create the endpoint now.
    """
    settings = ctx.ensure_object(Settings)
    with settings.connect() as client, list_changes_in_one_line():
        _announce_wait(sent_at.timestamp() + settle, settings)
        found = client.endpoints.find_created(username=username, alias=alias, sent_at=sent_at, settle=settle)
    settings.output().listing(_COLUMNS, [[_fields(endpoint) for endpoint in found]])
    if not found:
        _print_note("Nothing was created, so it is safe to create it now.", settings)
    if len(found) > 1:
        _print_note(
            "Several endpoints match, but this create made at most one of them: a person has to decide.",
            settings,
        )
        ctx.exit(UNKNOWN)


def _announce_wait(certain: float, settings: Settings) -> None:
    seconds = certain - time.time()
    if 1 < seconds < math.inf:  # `find_created` refuses an infinite one
        _print_note(f"Looking for up to {seconds:.0f} s.", settings)


def _print_note(text: str, settings: Settings) -> None:
    if not settings.as_json:
        click.echo(text, err=True)


@click.command
@endpoint_argument
@shared_options
@click.pass_obj
def get(settings: Settings, endpoint_id: str) -> None:
    """Show an endpoint, with its registration if it has one."""
    with settings.connect() as client:
        settings.output().record(_fields(client.endpoints.get(endpoint_id)))


class _Filters(TypedDict):
    alias: str | None
    username_prefix: str | None
    app_id: str | None
    registered: bool | None


@click.command("list")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="List at most N. [default: all]")
@click.option(
    "--offset",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Skip the first N of all endpoints, whether they match or not.",
)
@click.option("--alias", metavar="TEXT", help="Only those with exactly this alias.")
@click.option("--username-prefix", metavar="TEXT", help="Only those whose username begins with this.")
@click.option("--app-id", metavar="ID", help="Only those with this application.")
@click.option(
    "--registered/--not-registered",
    default=None,
    help="Only those that a phone is, or is not, registered with.",
)
@shared_options
@click.pass_obj
def list_(settings: Settings, limit: int | None, offset: int, **filters: Unpack[_Filters]) -> None:
    """List endpoints page by page, as the pages arrive.

    On a terminal the output is a table. In a pipe it is tab-separated lines of id, username, alias,
    registered and application id. With --json it is one array of complete objects.

    Plivo cannot filter its list. So with --alias, --username-prefix, --app-id or --registered, all pages are
    still requested, and the endpoints are compared on this machine; with --limit, until N match. An endpoint
    must match all given options. If a value is missing from it, it does not match.
    """
    with (
        settings.connect() as client,
        list_changes_in_one_line(),
        closing(_walk(client, limit, offset, filters)) as walk,
    ):
        settings.output().listing(_COLUMNS, walk)


def _walk(
    client: Client, limit: int | None, offset: int, filters: _Filters
) -> Generator[list[dict[str, object]]]:
    takes_all = all(value is None for value in filters.values())
    paginator = client.endpoints.list(
        **filters,
        page_size=min(limit, LARGEST_PAGE) if limit and takes_all else LARGEST_PAGE,
        offset=offset,
        prefetch=0 if limit else PREFETCH,
    )
    left = limit
    for page in paginator.pages():
        yield [_fields(endpoint) for endpoint in page.objects[:left]]
        if left is not None:
            left -= len(page.objects)
            if left <= 0:
                return


@click.command
@endpoint_argument
@click.option("--alias", help="A new name for people.")
@click.option("--app-id", metavar="ID", help="The application that handles its calls from now on.")
@click.option("--password", is_flag=True, help="Change the SIP password, read from a hidden prompt.")
@stdin_option
@shared_options
@click.pass_obj
def update(
    settings: Settings,
    endpoint_id: str,
    alias: str | None,
    app_id: str | None,
    *,
    password: bool,
    from_stdin: bool,
) -> None:
    """Change an endpoint. Only the given options are changed; the username cannot be.

    With --password, PLIVO_ENDPOINT_PASSWORD is used instead of the prompt. Without it, the variable is
    ignored.
    """
    if alias is None and app_id is None and not (password or from_stdin):
        raise click.UsageError("nothing to change: give --alias, --app-id or --password")
    with settings.connect() as client:
        new = read_password(from_stdin=from_stdin) if password or from_stdin else None
        done = client.endpoints.update(endpoint_id, password=new, alias=alias, app_id=app_id)
    settings.output().record({"endpoint_id": endpoint_id, **asdict(done)})


@click.command
@endpoint_argument
@shared_options
@click.pass_obj
def delete(settings: Settings, endpoint_id: str) -> None:
    """Delete an endpoint permanently, without confirmation."""
    with settings.connect() as client:
        client.endpoints.delete(endpoint_id)
    settings.output().record({"endpoint_id": endpoint_id, "message": "deleted"})


def _fields(endpoint: Endpoint) -> dict[str, object]:
    # Without the password's hash, which nobody needs on a screen or in a script's log.
    shown = asdict(endpoint, filter=exclude("password"))
    return {**shown, "application_id": endpoint.application_id}

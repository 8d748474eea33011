"""`create`, `get`, `list`, `update` and `delete`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.failures import list_changes_in_one_line, told_anyway, told_of_interrupts
from plivo_endpoints.cli.passwords import read_password, stdin_option
from plivo_endpoints.cli.settings import Settings, shared_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from plivo_endpoints._client import Client
    from plivo_endpoints._models import Endpoint

_COLUMNS: Final = ("endpoint_id", "username", "alias", "sip_registered", "application_id")
_LARGEST_PAGE: Final = 20
_PREFETCH: Final = 4  # pages: enough to reach Plivo's quota at usual distances


@click.command
@click.argument("username")
@click.option("--alias", required=True, help="A name for people.")
@click.option("--app-id", metavar="ID", help="The application that handles its calls.")
@stdin_option
@shared_options
@click.pass_obj
def create(settings: Settings, username: str, alias: str, app_id: str | None, *, from_stdin: bool) -> None:
    """Create an endpoint. It is sent once, whatever happens.

    Plivo appends digits to USERNAME; phones register with the name that is printed. The SIP password comes
    from --password-stdin, PLIVO_ENDPOINT_PASSWORD, or a hidden prompt.
    """
    with settings.connect() as client:
        password = read_password(from_stdin=from_stdin)
        with told_of_interrupts():
            made = client.endpoints.create(username=username, password=password, alias=alias, app_id=app_id)
        with told_anyway(f"endpoint {made.endpoint_id} was created as {made.username}"):
            settings.output().record(asdict(made))


@click.command
@click.argument("endpoint_id", metavar="ID")
@shared_options
@click.pass_obj
def get(settings: Settings, endpoint_id: str) -> None:
    """Show an endpoint, with its registration if a phone is registered."""
    with settings.connect() as client:
        settings.output().record(_fields(client.endpoints.get(endpoint_id)))


@click.command("list")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; all without it.")
@click.option("--offset", type=click.IntRange(min=0), metavar="N", default=0, help="Skip so many.")
@shared_options
@click.pass_obj
def list_(settings: Settings, limit: int | None, offset: int) -> None:
    """List endpoints as they come, a page in memory at a time.

    A table on a terminal; in a pipe, lines of id, username, alias, registered and application id with tabs
    between; with --json, one array of whole objects.
    """
    with (
        settings.connect() as client,
        list_changes_in_one_line(),
        closing(_walk(client, limit, offset)) as walk,
    ):
        settings.output().listing(_COLUMNS, walk)


def _walk(client: Client, limit: int | None, offset: int) -> Generator[list[dict[str, object]]]:
    paginator = client.endpoints.list(
        page_size=min(limit or _LARGEST_PAGE, _LARGEST_PAGE),
        offset=offset,
        prefetch=0 if limit else _PREFETCH,
    )
    left = limit
    for page in paginator.pages():
        yield [_fields(endpoint) for endpoint in page.objects[:left]]
        if left is not None:
            left -= len(page.objects)
            if left <= 0:
                return


@click.command
@click.argument("endpoint_id", metavar="ID")
@click.option("--alias", help="A new name for people.")
@click.option("--app-id", metavar="ID", help="The application that handles its calls from now on.")
@click.option("--password", is_flag=True, help="Change the SIP password; ask for it, hidden.")
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
    """Change an endpoint; what is not named keeps its value. The username cannot change.

    With --password, PLIVO_ENDPOINT_PASSWORD answers instead of the prompt; without it, the variable changes
    nothing.
    """
    with settings.connect() as client:
        new = read_password(from_stdin=from_stdin) if password or from_stdin else None
        done = client.endpoints.update(endpoint_id, password=new, alias=alias, app_id=app_id)
    settings.output().record({"endpoint_id": endpoint_id, **asdict(done)})


@click.command
@click.argument("endpoint_id", metavar="ID")
@shared_options
@click.pass_obj
def delete(settings: Settings, endpoint_id: str) -> None:
    """Delete an endpoint for ever, without asking."""
    with settings.connect() as client:
        client.endpoints.delete(endpoint_id)
    settings.output().record({"endpoint_id": endpoint_id, "message": "deleted"})


def _fields(endpoint: Endpoint) -> dict[str, object]:
    return {**asdict(endpoint), "application_id": endpoint.application_id}

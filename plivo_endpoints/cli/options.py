"""Options that commands share: the output format and the server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import define, frozen

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._config import DEFAULT_RATE
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints.cli.output import Output, choose_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._config import RateLimit
    from plivo_endpoints._shared_window import RateLimitStore

F = TypeVar("F", bound="Callable[..., Any]")


@frozen
class NextStep:
    """The command line to run after an error.

    Attributes:
        field: Its key in the JSON document.
        advice: The text that is printed before it.
        line: The command line.
    """

    field: str
    advice: str
    line: str


@define
class Settings:
    """The values of the shared options, and what error messages need.

    Attributes:
        as_json: Whether to print JSON.
        base_url: The server, if `--base-url` is given.
        endpoint_id: The argument ID, if the command has one.
        next_step: The command to run next if this one ends in an error.
    """

    as_json: bool = False
    base_url: str | None = None
    endpoint_id: str | None = None
    next_step: NextStep | None = None

    def connect(self) -> Client:
        """Return a client of the account that the environment names."""
        _check_account()
        return Client(base_url=self.base_url, proxy="environment")

    def connect_async(self, rate: RateLimit | RateLimitStore = DEFAULT_RATE) -> AsyncClient:
        """Return an async client of the account that the environment names, with a rate limit."""
        _check_account()
        return AsyncClient(base_url=self.base_url, proxy="environment", rate_limit=rate)

    def output(self) -> Output:
        """Return the output format for `--json` and standard output."""
        return choose_output(as_json=self.as_json)


def _check_account() -> None:
    # The client would refuse too, but its message is about arguments that the command line does not have.
    for field, name in (("auth_id", "PLIVO_AUTH_ID"), ("auth_token", "PLIVO_AUTH_TOKEN")):
        if not os.environ.get(name):
            raise InvalidArgumentError(field, "is missing: set PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN")


def endpoint_argument(command: F) -> F:
    """Add the argument ID, which error messages quote."""
    return click.argument("endpoint_id", metavar="ID", callback=_set_endpoint_id)(command)


def _set_endpoint_id(ctx: click.Context, _: click.Parameter, value: str) -> str:
    ctx.ensure_object(Settings).endpoint_id = value
    return value


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # click passes it by position
    if value:
        ctx.ensure_object(Settings).as_json = True


def _set_base_url(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    # The client reads the environment. Read here, it would override an option before the command's name.
    if value is not None:
        ctx.ensure_object(Settings).base_url = value


def json_option(command: F) -> F:
    """Add `--json`; groups have it too, so that it can come before or after the command's name."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Print one JSON document.",
    )(command)


def base_url_option(command: F) -> F:
    """Add `--base-url`, for commands that connect to a server."""
    return click.option(
        "--base-url",
        metavar="URL",
        expose_value=False,
        callback=_set_base_url,
        help="Another server: https, or http on this machine; PLIVO_ALLOW_HTTP=1 allows http elsewhere.",
    )(command)


def shared_options(command: F) -> F:
    """Add `--json` and `--base-url`, for commands that connect to a server."""
    return json_option(base_url_option(command))


class SharingGroup(click.Group):
    """A group that accepts its commands' shared options, and refuses those that the command does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and check that it has the given options."""
        name, command, rest = super().resolve_command(ctx, args)
        # Shell completion must not fail.
        if command is not None and not ctx.resilient_parsing:
            _check_offered(ctx, command)
        return name, command, rest


def _check_offered(ctx: click.Context, command: click.Command) -> None:
    settings = ctx.ensure_object(Settings)
    given = {"--json": settings.as_json, "--base-url": settings.base_url is not None}
    offered = {name for parameter in command.params for name in parameter.opts}
    for option, is_given in given.items():
        if is_given and option not in offered:
            raise click.UsageError(f"{command.name} has no option {option}", ctx)

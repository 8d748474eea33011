"""What every command knows: how to print, and which server to talk to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from attrs import define, frozen

from plivo_endpoints._client import AsyncClient, Client
from plivo_endpoints._config import RateLimit
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints.cli.output import Output, choose_output

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_WINDOW: Final = 5  # seconds, as Plivo counts requests


@frozen
class NextStep:
    """A command line that helps after an error.

    Attributes:
        field: What JSON calls it.
        advice: What people read before it.
        line: The command line.
    """

    field: str
    advice: str
    line: str


@define
class Settings:
    """The options that all commands share, and what an error's message should know.

    Attributes:
        as_json: Whether to print JSON.
        base_url: The server, if the command line names one.
        endpoint_id: The endpoint that the command is about, as it was typed.
        next_step: What helps if the command ends in an error.
    """

    as_json: bool = False
    base_url: str | None = None
    endpoint_id: str | None = None
    next_step: NextStep | None = None

    def connect(self) -> Client:
        """Return a client of the account that the environment names."""
        _check_account()
        return Client(base_url=self.base_url, proxy="environment")

    def connect_async(self, rate: int | None = None) -> AsyncClient:
        """Return an async client of the account that the environment names.

        Args:
            rate: Requests a second; `None` for all that Plivo allows an account.
        """
        _check_account()
        limit = RateLimit() if rate is None else RateLimit(rate * _WINDOW, float(_WINDOW))
        return AsyncClient(base_url=self.base_url, proxy="environment", rate_limit=limit)

    def output(self) -> Output:
        """Return the form of output that was asked for, or that standard output calls for."""
        return choose_output(as_json=self.as_json)


def _check_account() -> None:
    # The client would refuse too, but advise to pass what the command line does not take.
    for field, name in (("auth_id", "PLIVO_AUTH_ID"), ("auth_token", "PLIVO_AUTH_TOKEN")):
        if not os.environ.get(name):
            raise InvalidArgumentError(field, "is missing: set PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN")


def endpoint_argument(command: F) -> F:
    """Give a command the argument ID, for its errors to name."""
    return click.argument("endpoint_id", metavar="ID", callback=_set_endpoint_id)(command)


def _set_endpoint_id(ctx: click.Context, _: click.Parameter, value: str) -> str:
    ctx.ensure_object(Settings).endpoint_id = value
    return value


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # click calls it so
    if value:
        ctx.ensure_object(Settings).as_json = True


def _set_base_url(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    # The environment is the client's business: read here, it would beat an option before the command's name.
    if value is not None:
        ctx.ensure_object(Settings).base_url = value


def json_option(command: F) -> F:
    """Give a command `--json`; its groups have it too, so that it may stand before or after the name."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Print one JSON document.",
    )(command)


def base_url_option(command: F) -> F:
    """Give a command that asks a server `--base-url`."""
    return click.option(
        "--base-url",
        metavar="URL",
        expose_value=False,
        callback=_set_base_url,
        help="Another server: https, or http on this machine; PLIVO_ALLOW_HTTP=1 allows http elsewhere.",
    )(command)


def shared_options(command: F) -> F:
    """Give a command that asks a server `--json` and `--base-url`."""
    return json_option(base_url_option(command))


class SharingGroup(click.Group):
    """A group whose options are meant for its commands: one that the command does not have is refused."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was asked for."""
        name, command, rest = super().resolve_command(ctx, args)
        # A shell that completes a line wants no refusal.
        if command is not None and not ctx.resilient_parsing:
            _check_offered(ctx, command)
        return name, command, rest


def _check_offered(ctx: click.Context, command: click.Command) -> None:
    settings = ctx.ensure_object(Settings)
    given = {"--json": settings.as_json, "--base-url": settings.base_url is not None}
    offered = {name for parameter in command.params for name in parameter.opts}
    for option, is_given in given.items():
        if is_given and option not in offered:
            raise click.UsageError(f"{command.name} takes no {option}", ctx)

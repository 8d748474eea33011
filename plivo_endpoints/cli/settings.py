"""What every command knows: how to print, and which server to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import define

from plivo_endpoints._client import Client
from plivo_endpoints.cli.output import Output, choose_output

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@define
class Settings:
    """The options that all commands share."""

    as_json: bool = False
    base_url: str | None = None

    def connect(self) -> Client:
        """Return a client of the account that the environment names."""
        return Client(base_url=self.base_url)

    def output(self) -> Output:
        """Return the form of output that was asked for, or that standard output calls for."""
        return choose_output(as_json=self.as_json)


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # click calls it so
    if value:
        ctx.ensure_object(Settings).as_json = True


def _set_base_url(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    # The environment is the client's business: read here, it would beat an option before the command's name.
    if value is not None:
        ctx.ensure_object(Settings).base_url = value


def shared_options(command: F) -> F:
    """Give a command `--json` and `--base-url`, so that they may stand before or after its name."""
    command = click.option(
        "--base-url",
        metavar="URL",
        expose_value=False,
        callback=_set_base_url,
        help="Another server: https, or http on this machine.",
    )(command)
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Print one JSON document.",
    )(command)

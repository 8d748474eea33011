"""The reference of the command line has the help of each command, as the program prints it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click
import pytest
from click.testing import CliRunner

from plivo_endpoints.cli.main import cli
from tests.docs.pages import DOCS

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE: Final = (DOCS / "reference" / "command-line.md").read_text("utf-8")
SHOWN: Final = dict(
    re.findall(r"^### (.+)\n\n```console\n\$ \1 --help\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)
)


def commands(group: click.Command, name: str) -> Iterator[str]:
    """Yield a command and all below it, as they are typed."""
    yield name
    if isinstance(group, click.Group):
        for part, command in group.commands.items():
            yield from commands(command, f"{name} {part}")


@pytest.mark.parametrize("name", list(commands(cli, "plivo-endpoints")))
def test_its_help(name: str) -> None:
    """Each option is there, in the program's own words."""
    program, *arguments = name.split()
    printed = CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*arguments, "--help"], prog_name=program)
    assert SHOWN.get(name) == printed.stdout


def test_no_other_command() -> None:
    """What was removed from the program is not there either."""
    assert set(SHOWN) == set(commands(cli, "plivo-endpoints"))

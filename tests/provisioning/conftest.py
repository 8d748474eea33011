"""Fixtures for the tests of provisioning: rows, and complete runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from attrs import frozen
from click.testing import CliRunner, Result

from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints.cli.main import cli
from plivo_endpoints.provisioning import Outcome, Report, Row
from plivo_endpoints.sandbox import Sandbox
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import RowSource

    Apply = Callable[..., Awaitable["Ended"]]
    Run = Callable[..., Result]


@frozen
class Ended:
    """A run that came to its end."""

    outcomes: list[Outcome]
    report: Report


@pytest.fixture
def rows() -> Callable[[int], list[Row]]:
    """Make so many rows; a list is a source."""

    def make(count: int) -> list[Row]:
        return [
            Row(key=f"key-{n}", username=f"user{n}x", alias=f"row-{n}", password=f"secret-{n}")
            for n in range(1, count + 1)
        ]

    return make


@pytest.fixture
def applied(client: AsyncClient, tmp_path: Path) -> Apply:
    """Apply a source to its end, with a state in the test's folder and hardly any time to settle."""

    async def run(source: RowSource, **options: Any) -> Ended:
        settings: dict[str, Any] = {
            "client": client,
            "state": tmp_path / "run.db",
            "settle": 0.2,
            **options,
        }
        async with apply(source=source, **settings) as running:
            outcomes = [outcome async for outcome in running]
        return Ended(outcomes, running.report)

    return run


@pytest.fixture
def account(
    monkeypatch: pytest.MonkeyPatch, point_to: Callable[[Sandbox], None], tmp_path: Path
) -> Iterator[Sandbox]:
    """Serve from a thread, with the environment pointing there, in an empty folder, in no hurry to wait."""
    monkeypatch.setattr(SlidingWindow, "spend", Mock())
    monkeypatch.chdir(tmp_path)
    with Sandbox() as running:
        point_to(running)
        monkeypatch.delenv("PLIVO_PROVISION_KEY", raising=False)
        yield running


@pytest.fixture
def run() -> Run:
    """Run a command of `provision` in this process."""

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, ["provision", *arguments], input=stdin, prog_name="plivo-endpoints")

    return invoke

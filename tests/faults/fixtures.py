"""The fault server as a fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.server import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def faults() -> Iterator[FaultServer]:
    """Serve faults for as long as the tests run."""
    with FaultServer() as server:
        yield server

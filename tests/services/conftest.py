"""A way to start the programs of users, and to be sure that they end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.services.service import Service, environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox


@pytest.fixture
def launch(threaded_sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `python -m` with these words and the sandbox in its environment; end at last what still runs."""
    started: list[Service] = []

    def start(*words: str, **environment: str) -> Service:
        service = Service(
            (sys.executable, "-m", *words),
            environment_of(threaded_sandbox, HOME=str(tmp_path), **environment),
            tmp_path / f"output-{len(started)}",
        )
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()
        sys.stdout.write(service.output)  # shown where the test failed

"""A way to start the examples as their READMEs say, and to be sure that they end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.services.service import Service, environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plivo_endpoints.sandbox import Sandbox

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


@pytest.fixture
def start(threaded_sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `python` with some words in the folder of an example, with the sandbox in its environment."""
    started: list[Service] = []

    def start_in(example: str, *words: str, **environment: str) -> Service:
        service = Service(
            (sys.executable, *words),
            environment_of(threaded_sandbox, HOME=str(tmp_path), **environment),
            tmp_path / f"output-{len(started)}",
            folder=EXAMPLES / example,
        )
        started.append(service)
        return service

    yield start_in
    for service in started:
        service.kill()
        sys.stdout.write(service.output)  # shown where the test failed

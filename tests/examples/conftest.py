"""A way to start the examples as their READMEs say, and to be sure that they end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.services.service import Service, launching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plivo_endpoints.sandbox import Sandbox

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


@pytest.fixture
def start(threaded_sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `python` with some words in the folder of an example, with the sandbox in its environment."""

    def start_in(example: str, *words: str, **environment: str) -> Service:
        return launch(*words, folder=EXAMPLES / example, **environment)

    with launching(threaded_sandbox, tmp_path) as launch:
        yield start_in

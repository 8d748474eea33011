"""A way to start the programs of users, and to be sure that they end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.services.service import Service, launching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox


@pytest.fixture
def launch(threaded_sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `python -m` with these words and the sandbox in its environment; end at last what still runs."""
    with launching(threaded_sandbox, tmp_path) as start:
        yield partial(start, "-m")

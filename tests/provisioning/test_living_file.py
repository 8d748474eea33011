"""Edited again and again and killed on the way, a file has in the end what it asks for, each row once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.provisioning.killloop import Loop
from tests.provisioning.living_file import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_each_edition_is_as_the_file_wants_it(tmp_path: Path) -> None:
    """Every key has one endpoint, the same as before, with the file's alias; nobody else's was touched."""
    result = run(Loop(rows=150, kills=0, folder=tmp_path), editions=6)
    assert result.wrong == []
    assert result.kills >= 3

"""A file that is edited and killed again and again: in the end each row has its endpoint exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.provisioning.killloop import Loop
from tests.provisioning.living_file import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # as the kill loop


def test_each_edition_is_as_the_file_wants_it(tmp_path: Path) -> None:
    """Every key has one endpoint, with all that the file says of it; rows that went have none.

    A row keeps its endpoint for as long as its username stays, and nobody else's is touched.
    """
    result = run(Loop(rows=150, kills=0, folder=tmp_path), editions=4)
    assert result.wrong == []
    assert result.kills >= 2
    assert min(result.done[status] for status in ("created", "updated", "replaced", "deleted")) > 0


@pytest.mark.parametrize(
    ("broken", "editions", "fault"),
    [("blind retry", 1, "it has 2 endpoints"), ("no update", 2, "it has another password")],
)
def test_without_a_rule_it_is_not(tmp_path: Path, broken: str, editions: int, fault: str) -> None:
    """The comparison can see what it is there to see."""
    result = run(Loop(rows=150, kills=0, folder=tmp_path, faults=0.1, broken=broken), editions=editions)
    assert any(fault in each for each in result.wrong)

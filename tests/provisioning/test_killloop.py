"""Killed again and again, a run creates each row exactly once; without any one of its rules it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.provisioning.killloop import Loop, run

if TYPE_CHECKING:
    from pathlib import Path

# They are bounded by what they do; on a busy machine that has taken four times as long as on a quiet one.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_each_row_exactly_once(tmp_path: Path) -> None:
    """2,000 rows, 4% faults, lagging lists, 36 kills at random and at every step of the state."""
    result = run(Loop(rows=2000, kills=36, folder=tmp_path))
    assert (result.duplicated, result.lost, result.mismatched, result.strangers_touched) == ([], [], [], [])
    assert result.counts["created"] + result.counts["adopted"] == 2000
    assert result.status == 0
    assert result.kills >= 30


@pytest.mark.parametrize(
    "broken",
    [
        {"broken": "blind retry", "kills": 0},
        {
            "broken": "no intent",
            "kills": 2,
            "first": (),
            "then": ("finish",),
            "last": (),
            "lag": 5.0,
            "settle": 8.0,  # so that the next life does not just find what is there
        },
        {"broken": "no settle", "kills": 0, "lag": 1.0, "settle": 3.0},
    ],
    ids=lambda broken: broken["broken"],
)
def test_without_a_rule_rows_are_duplicated(tmp_path: Path, broken: dict[str, Any]) -> None:
    """The loop can see what it is there to see.

    Where a machine is so slow that the list shows a lost create to the next life, that leaves it to a person.
    """
    result = run(Loop(rows=400, folder=tmp_path, faults=0.1, **broken))
    assert result.duplicated or result.counts["review"]

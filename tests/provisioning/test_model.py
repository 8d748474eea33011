"""The protocol, exhaustively: right as a whole, and wrong without any one of its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.provisioning.model import Model

if TYPE_CHECKING:
    from tests.provisioning.model import Rule


@pytest.mark.parametrize(
    "bounds",
    [
        {"rows": 1, "workers": 1},
        {"rows": 1, "workers": 2},
        {"rows": 2, "workers": 1, "troubles": 0, "ticks": 6},
    ],
    ids=["one worker", "two workers", "two rows"],
)
def test_the_whole_protocol_is_right(bounds: dict[str, Any]) -> None:
    """In no order of events is a row doubled, lost or in need of review; and rows do get done."""
    worlds, wrong, is_done = Model(**bounds).explore()
    assert (wrong, is_done) == (None, True)
    assert worlds > 10_000


@pytest.mark.parametrize(
    ("without", "bounds", "wrong"),
    [
        ("intent first", {"rows": 1, "workers": 1}, "doubled"),
        ("guard", {"rows": 1, "workers": 2}, "doubled"),
        ("park", {"rows": 1, "workers": 1}, "doubled"),
        ("settle", {"rows": 1, "workers": 1}, "doubled"),
        ("swap", {"rows": 1, "workers": 2}, "doubled"),
        ("restart", {"rows": 1, "workers": 1}, "doubled"),
        ("journal", {"rows": 1, "workers": 1}, "doubled"),
        ("unique", {"rows": 2, "workers": 1, "troubles": 0}, "lost"),
    ],
)
def test_each_rule_is_needed(without: Rule, bounds: dict[str, Any], wrong: str) -> None:
    """Without it there is an order of events that goes wrong."""
    assert Model(without=without, **bounds).explore()[1] == wrong

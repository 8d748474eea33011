"""Creates interrupted at random moments: each is told, ends at once, and is not made twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.account import AUTH_ID
from tests.lifetime.conftest import said
from tests.unmeasured import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.faults.server import FaultServer

STORM: Final = Path(__file__).with_name("interrupt_storm.py").read_text(encoding="utf-8")
# Reactions, how many, seconds within which each comes, and how many more signals follow each at once. With
# the server in another process a create takes some 2 ms: they come before, during and after its way.
STORMS: Final = [
    ("KeyboardInterrupt", 1_000, 0.006, 0),
    ("KeyboardInterrupt", 1_000, 0.006, 1),
    ("KeyboardInterrupt", 1_000, 0.006, 3),
    ("RuntimeError", 200, 0.006, 0),
    ("TimeoutError", 200, 0.006, 0),
    ("close", 200, 0.006, 0),
]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("reaction", "interrupts", "seconds", "more"), STORMS)
def test_a_storm_of_interrupts(
    reaction: str,
    interrupts: int,
    seconds: float,
    more: int,
    *,
    faults: FaultServer,
    start: Callable[..., Popen[str]],
) -> None:
    """No create is made in silence, none twice, and none keeps the program waiting."""
    account, url = faults.account()
    arguments = (AUTH_ID, url, str(interrupts), str(seconds), reaction, str(more))
    program = start(STORM, *arguments, options=("-W", "error"), env=unmeasured())
    status, out, err = said(program, timeout=200)
    # Of several signals Python may lose one in a weak reference's callback, and say so.
    assert (status, err if not more else "") == (0, ""), err
    report = json.loads(out)
    made = Counter(known.alias for known in account.created)
    assert [alias for alias in report["silent"] if made[alias]] == []
    assert {count for alias, count in made.items() if alias != "before"} == {1}
    assert report["longest"] < 0.2
    # Some came while a create was under way (few do on a busy machine); with none, nothing was tried.
    assert report["ends"]["told"]

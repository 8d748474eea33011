"""Several processes, killed and stopped again and again, with a database that crashes: each row exactly once.

`JOINT_LOOP_ROWS`, `JOINT_LOOP_KILLS` (and as many stops) make it the whole proof: 3000 and 30.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.provisioning.jointloop import JointLoop, run
from tests.provisioning.quota import most_in_a_window, share_used

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUOTA: Final = 300  # in 5 seconds
ROWS: Final = int(os.environ.get("JOINT_LOOP_ROWS", "300"))
KILLS: Final = int(os.environ.get("JOINT_LOOP_KILLS", "3"))
FAKETIME: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def test_each_row_exactly_once(postgres: PostgresServer, tmp_path: Path) -> None:
    """Whatever happens to the workers: none is doubled, none is lost, and the quota is kept."""
    loop = JointLoop(folder=tmp_path, rows=ROWS, kills=KILLS, stops=KILLS, restarts=1, limited=True)
    result = run(loop, postgres)
    assert (result.duplicated, result.lost, result.mismatched) == ([], [], [])
    assert result.events == {"kill": KILLS, "stop": KILLS, "restart": 1}
    for report in result.reports:
        assert (report["status"], report["counts"]["created"] + report["counts"]["adopted"]) == (0, ROWS)
    assert result.refused == 0
    most = most_in_a_window(result.times, 5.0)
    print(f"{result.seconds:.0f} s, {len(result.times)} requests, at most {most} in 5 s")  # noqa: T201
    assert most <= QUOTA


def test_the_quota_is_used(postgres: PostgresServer, tmp_path: Path) -> None:
    """Undisturbed, nearly all of it; clocks of the hosts that are an hour apart change nothing."""
    if not FAKETIME:
        pytest.skip("FAKETIME IS NOT INSTALLED: what it proves is not proved here (apt-get install faketime)")
    clocks = [
        {**os.environ, "LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        for shift in ("+1h", "-1h", "+0")
    ]
    loop = JointLoop(
        folder=tmp_path, rows=550, faults=0.0, settle=1.0, limited=True, environments=tuple(clocks)
    )
    result = run(loop, postgres)
    assert (result.duplicated, result.lost, result.mismatched, result.refused) == ([], [], [], 0)
    times = [
        time for time, each in zip(result.times, result.requests, strict=True) if each["method"] == "POST"
    ]
    used, most = share_used([times[50:-50]], QUOTA / 5), most_in_a_window(result.times, 5.0)
    print(f"{used:.1%} of the quota used, at most {most} in 5 s")  # noqa: T201
    assert used >= 0.75  # on a quiet machine 0.93; on a busy one, places that come too late are lost
    assert most <= QUOTA

"""Passwords, master key and token are written only where that was requested."""

from __future__ import annotations

import logging
from array import array
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints import InvalidArgumentError
from plivo_endpoints.provisioning import Row, save_plan
from plivo_endpoints.provisioning._load import Contents
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply, plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.sandbox import Sandbox

KEY = "canary-master-key-0123456789"


def contents(folder: Path) -> bytes:
    """Return all that is in a folder's files."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_files_and_logs(
    client: AsyncClient,
    sandbox: Sandbox,
    rows: Callable[[int], list[Row]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also during runs, to check the log beside the state too, and with refusals that echo passwords."""
    caplog.set_level(logging.DEBUG)
    given = [evolve(row, password="canary-password") for row in rows(30)]
    derived = [Row(key=f"d{row.key}", username=f"d{row.username}", alias=f"d{row.alias}") for row in rows(10)]
    echo = '{"error": {"password": ["canary-password will not do"]}}'
    sandbox.inject(Fault(applied=False, status=400, body=echo), rate=0.2, method="POST")
    sandbox.inject(Fault(applied=True, status=500, body=echo), rate=0.2, method="POST")
    left = b""
    for name, wanted in {"given": given, "derived": derived}.items():
        async with apply(client, wanted, state=tmp_path / name, settle=0.1, master_key=KEY) as run:
            shown = [repr(outcome) async for outcome in run]
            left += contents(tmp_path) + repr((wanted, shown, run.report)).encode()
        assert len(shown) == len(wanted)
        sandbox.clear_faults()
        edited = [evolve(row, password="canary-another", password_version="2") for row in wanted]
        planned = await plan(client, edited, state=tmp_path / name, master_key=KEY)
        save_plan(planned, tmp_path / "plan.json")
        left += contents(tmp_path) + repr(planned).encode()
        assert {step.changes["password"] for step in planned.steps if step.kind == "update"} == {(None, None)}
    left += caplog.text.encode()
    assert b"will not do" in left
    assert left.count(b"canary") == 0
    assert sandbox.auth_token.encode() not in left


def test_what_may_be_guessed_from_a_state() -> None:
    """Neither the mark of the master key nor the digest of a source is a fast hash."""
    deriver = Deriver(KEY, "run")
    assert KEY not in repr(deriver)
    assert deriver.mark != Deriver(KEY, "another").mark
    contents = Contents(b"hash of all rows", derives=False, marks=array("q"))
    assert contents.digest("salt") not in {contents.hash.hex(), contents.digest("other salt")}


async def test_a_master_key_that_can_be_guessed(
    client: AsyncClient, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plan and run refuse it, as an argument or from the environment, before anything is sent."""
    derived = [Row(key="a", username="alice", alias="a")]
    with pytest.raises(InvalidArgumentError, match="at least 16 characters"):
        await plan(client, derived, master_key="short")
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "short")
    with pytest.raises(InvalidArgumentError, match="at least 16 characters"):
        async with apply(client, derived, state=tmp_path / "run.db"):
            pass
    assert sandbox.requests == ()

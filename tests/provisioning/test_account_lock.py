"""One run at a time for an account on a machine: two runs could not tell their creates apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from plivo_endpoints import AsyncClient
from plivo_endpoints.provisioning import AsyncFleet, Row, StateError
from plivo_endpoints.provisioning._reach import account_of
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]

pytestmark = pytest.mark.usefixtures("locks")

HOLDING = textwrap.dedent("""
    import sys
    from plivo_endpoints.provisioning._account_lock import account_locked
    with account_locked(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the locks in a folder of the test's own, which is not made yet."""
    folder = tmp_path / "locks"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


async def test_a_second_run(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is refused, whatever its state, in one line that names the holder; later it succeeds."""
    async with apply(client, rows(3), state=tmp_path / "first.db", settle=1.0):
        with pytest.raises(StateError) as refused:
            await applied(rows(3))
    holder = f"process {os.getpid()} on {socket.gethostname()}, since "
    assert str(refused.value).startswith(f"another run works on this account: {holder}")
    assert str(refused.value).endswith(f", in {Path.cwd()}")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run.db").exists()
    assert len(sandbox.endpoints) == 3
    ended = await applied(rows(3), import_existing=True)
    assert ended.report.counts["imported"] == 3


async def test_what_else_changes_something(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Audit, deletion of duplicates and import are refused during a run, also with another state."""
    await applied(rows(1))
    fleet = AsyncFleet(client, tmp_path / "run.db")
    async with apply(client, rows(3)[1:], state=tmp_path / "other.db", settle=1.0):
        for change in (
            fleet.audit,
            fleet.delete_duplicates,
            lambda: fleet.import_endpoints({"key-1": min(sandbox.endpoints)}),
        ):
            with pytest.raises(StateError, match="another run works on this account: process"):
                await change()
    assert (await fleet.audit()).exit_status == 0


async def test_what_only_looks(applied: Apply, rows: Rows, client: AsyncClient, tmp_path: Path) -> None:
    """Plan, report and drift are available during a run."""
    await applied(rows(2))
    fleet = AsyncFleet(client, tmp_path / "run.db")
    async with apply(client, rows(2), state=tmp_path / "run.db"):
        assert (await fleet.plan(rows(3))).counts["create"] == 1
        assert (await fleet.report()).total == 2
        assert await fleet.drift() == ()


async def test_two_accounts(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """They do not block each other."""
    with sandbox.fresh_account() as other:
        second = AsyncClient(other.auth_id, other.auth_token, base_url=other.base_url, rate_limit=None)
        async with second, apply(client, rows(3), state=tmp_path / "first.db", settle=1.0):
            ended = await applied(rows(2), client=second)
        assert (ended.report.exit_status, len(other.endpoints), len(sandbox.endpoints)) == (0, 2, 3)


async def test_another_process(applied: Apply, rows: Rows, client: AsyncClient) -> None:
    """The message has its process id; when it ends, in any way, its lock is released."""
    command = [sys.executable, "-c", HOLDING, account_of(client)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220, S603
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        with pytest.raises(StateError, match=f"account: process {process.pid} on "):
            await applied(rows(1))
        process.kill()
    assert (await applied(rows(1))).report.counts["created"] == 1


@pytest.mark.parametrize(
    "is_homeless",
    [False, pytest.param(True, marks=pytest.mark.skipif(sys.platform == "win32", reason="has no pwd"))],
)
async def test_no_folder_for_locks(  # noqa: PLR0917 - fixtures
    applied: Apply,
    rows: Rows,
    client: AsyncClient,
    locks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    is_homeless: bool,
) -> None:
    """If it cannot be created or located, there is a warning instead of a lock."""
    if is_homeless:
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=KeyError))
    else:
        locks.write_text("in the way")  # noqa: ASYNC240
    async with apply(client, rows(1), state=tmp_path / "first.db", settle=1.0):
        ended = await applied([Row(username="alice", alias="a", password="secret")])
    assert ended.report.exit_status == 0
    warnings = [record.getMessage() for record in caplog.records if "cannot lock" in record.getMessage()]
    assert len(warnings) == 2
    assert warnings[0].startswith("cannot lock the account against a second run: ")


async def test_a_folder_that_is_gone(
    applied: Apply, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run works even if its current directory no longer exists."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert (await applied(rows(1))).report.exit_status == 0

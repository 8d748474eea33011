"""The commands of `provision` against the sandbox."""

from __future__ import annotations

import csv
import json
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result

from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints.cli.root import cli
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Result]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """Serve from a thread, with the environment pointing there, in an empty folder, in no hurry to wait."""
    monkeypatch.setattr(SlidingWindow, "spend", Mock())
    monkeypatch.chdir(tmp_path)
    with Sandbox() as running:
        monkeypatch.setenv("PLIVO_BASE_URL", running.base_url)
        monkeypatch.setenv("PLIVO_AUTH_ID", running.auth_id)
        monkeypatch.setenv("PLIVO_AUTH_TOKEN", running.auth_token)
        monkeypatch.delenv("PLIVO_PROVISION_KEY", raising=False)
        yield running


@pytest.fixture
def run() -> Run:
    """Run a command of `provision` in this process."""

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["provision", *arguments], input=stdin, prog_name="plivo-endpoints")

    return invoke


@pytest.fixture
def users(tmp_path: Path) -> Callable[[int], None]:
    """Write users.csv with so many rows."""

    def write(count: int) -> None:
        lines = (f"user{n}x,row-{n},secret-{n}\n" for n in range(1, count + 1))
        (tmp_path / "users.csv").write_text("username,alias,password\n" + "".join(lines))

    return write


def lines(result: Result) -> dict[str, str]:
    """Read lines of name, tab and value."""
    return dict(line.split("\t") for line in result.stdout.splitlines())


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_plan_then_apply(account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path) -> None:
    """A saved plan is what is done; the results are a private file."""
    users(5)
    planned = run("plan", "users.csv", "--out", "plan.json")
    assert (planned.exit_code, lines(planned)["create"], len(account.endpoints)) == (0, "5", 0)
    done = run("apply", "users.csv", "--journal", "run.db", "--plan", "plan.json", "--results", "out.csv")
    assert (done.exit_code, lines(done)) == (0, {"created": "5", "doubles": "0", "audited": "true"})
    assert "of 5, made" in done.stderr
    told = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["endpoint_id"] for row in told} == set(account.endpoints)
    assert {mode(tmp_path / name) for name in ("run.db", "run.db-lock", "out.csv")} == {0o600}


def test_a_stale_plan(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """Another source, or an account that has changed, is refused before anything is made."""
    users(2)
    run("plan", "users.csv", "--out", "plan.json")
    users(3)
    other = run("apply", "users.csv", "--journal", "run.db", "--plan", "plan.json")
    assert (other.exit_code, "not the one that was planned" in other.stderr) == (1, True)
    users(2)
    run("apply", "users.csv", "--journal", "first.db")
    changed = run("apply", "users.csv", "--journal", "run.db", "--plan", "plan.json")
    assert (changed.exit_code, "the account has changed" in changed.stderr) == (1, True)
    assert len(account.endpoints) == 2


def test_bad_lines(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """Every one is named, as text and as JSON, and nothing is sent."""
    (tmp_path / "users.csv").write_text("username,alias,password\n1x,a,secret\nok,,secret\nfine,c,abc\n")
    told = run("apply", "users.csv", "--journal", "run.db")
    assert told.exit_code == 1
    assert [line.split(":")[0] for line in told.stderr.splitlines()] == [
        "line 2",
        "line 3",
        "line 4",
        "Error",
    ]
    document = json.loads(run("apply", "users.csv", "--journal", "run.db", "--json").stderr)
    assert [problem["line"] for problem in document["error"]["problems"]] == [2, 3, 4]
    assert account.requests == ()


def test_a_failed_row(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """It is shown with its line and reason; the exit status is 1, for `status` too."""
    users(3)
    account.inject(Fault(applied=False, status=400, body='{"error": "no such luck"}'), method="POST")
    done = run("apply", "users.csv", "--journal", "run.db")
    assert done.exit_code == 1
    assert "2\tuser1x\tfailed\tPlivo refused it: no such luck" in done.stdout
    shown: dict[str, Any] = json.loads(run("status", "--journal", "run.db", "--json").stdout)
    assert (shown["counts"]["failed"], shown["rows"][0]["key"]) == (1, "user1x")
    assert run("status", "--journal", "run.db").exit_code == 1


def test_doubles_are_pruned(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """Only when asked for and confirmed, and never one that a phone is registered with."""
    users(2)
    run("apply", "users.csv", "--journal", "run.db")
    kept = set(account.endpoints)
    for alias in ("row-1", "row-1", "row-2"):
        name = alias.replace("row-", "user") + "x"
        CliRunner().invoke(cli, ["create", name, "--alias", alias, "--password-stdin"], input="secret\n")
    registered = max(account.endpoints)
    account.register(registered)
    assert run("audit", "--journal", "run.db").exit_code == 3
    assert run("audit", "--journal", "run.db", "--prune").exit_code == 2  # nobody there to ask
    assert len(account.endpoints) == 5
    pruned = run("audit", "--journal", "run.db", "--prune", "--yes")
    assert "2 deleted, 1 left alone" in pruned.stderr
    assert (pruned.exit_code, set(account.endpoints)) == (3, kept | {registered})
    account.unregister(registered)
    assert run("apply", "users.csv", "--journal", "run.db", "--prune", "--yes").exit_code == 0
    assert set(account.endpoints) == kept


def test_a_vanished_endpoint(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """The audit says so, and does not make it anew."""
    users(2)
    run("apply", "users.csv", "--journal", "run.db")
    gone = min(account.endpoints)
    assert CliRunner().invoke(cli, ["delete", gone]).exit_code == 0
    told = run("audit", "--journal", "run.db")
    assert (told.exit_code, f"its endpoint {gone} does not exist any more" in told.stdout) == (3, True)
    assert run("apply", "users.csv", "--journal", "run.db").exit_code == 3
    assert len(account.endpoints) == 1


def test_results(account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path) -> None:
    """JSON lines by default, some statuses if asked for; never over a file that is there."""
    users(3)
    account.inject(Fault(applied=False, status=400), method="POST")
    run("apply", "users.csv", "--journal", "run.db")
    told = run("results", "--journal", "run.db")
    assert [json.loads(line)["status"] for line in told.stdout.splitlines()] == [
        "failed",
        "created",
        "created",
    ]
    some = run("results", "--journal", "run.db", "--status", "failed", "--format", "csv")
    assert some.stdout.splitlines()[1].startswith("user1x,failed,,,Plivo refused it")
    (tmp_path / "there.csv").write_text("precious")
    assert run("results", "--journal", "run.db", "--out", "there.csv").exit_code == 1
    assert (tmp_path / "there.csv").read_text() == "precious"


def test_results_with_passwords(
    account: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given and derived ones, into a private file only, and not as CSV."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "correct horse battery staple")
    (tmp_path / "users.jsonl").write_text(
        '{"username": "alice", "alias": "a", "password": "s3cret"}\n{"username": "bob", "alias": "b"}\n'
    )
    assert run("apply", "users.jsonl", "--journal", "run.db").exit_code == 0
    assert run("results", "--journal", "run.db", "--passwords", "users.jsonl").exit_code == 2
    refused = run("results", "--journal", "run.db", "--passwords", "users.jsonl", "--out", "secret.csv")
    assert (refused.exit_code, "JSON lines" in refused.stderr) == (2, True)
    assert not (tmp_path / "secret.csv").exists()
    told = run("results", "--journal", "run.db", "--passwords", "users.jsonl", "--out", "secret.jsonl")
    alice, bob = [json.loads(line) for line in (tmp_path / "secret.jsonl").read_text().splitlines()]
    assert (told.exit_code, alice["password"], len(bob["password"])) == (0, "s3cret", 26)
    assert mode(tmp_path / "secret.jsonl") == 0o600
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "another horse battery staple")
    assert "master key" in run("apply", "users.jsonl", "--journal", "run.db").stderr
    assert len(account.endpoints) == 2


def test_ctrl_c(account: Sandbox, users: Callable[[int], None], tmp_path: Path) -> None:
    """What is under way is finished, the command that goes on is printed, and it goes on."""
    users(300)
    account.inject(Fault(applied=True, latency=0.05), rate=1.0, method="POST")
    words = ["provision", "apply", "users.csv", "--journal", "run.db", "--concurrency", "4", "--settle", "1"]
    command = [sys.executable, "-m", "plivo_endpoints", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:  # noqa: S603
        while len(account.endpoints) < 20:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"\n  plivo-endpoints {' '.join(words[:5])} --concurrency 4 --settle 1.0\n" in told
    made = len(account.endpoints)
    assert made < 300
    account.clear_faults()
    again = CliRunner().invoke(cli, words)
    assert (again.exit_code, len(account.endpoints)) == (0, 300)
    assert lines(again)["created"] == "300"  # nothing was cut short, so nothing had to be found again


def test_no_journal(account: Sandbox, run: Run) -> None:
    """`status` makes none."""
    assert run("status", "--journal", "run.db").exit_code == 2
    assert account.requests == ()

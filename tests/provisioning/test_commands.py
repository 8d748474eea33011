"""The commands of `provision` against the sandbox."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result

from plivo_endpoints.cli.main import cli
from plivo_endpoints.cli.provision.output import is_confirmed
from plivo_endpoints.provisioning import Duplicate, Outcome, SqliteState, StateError, _outage
from plivo_endpoints.provisioning._rows import NO_PASSWORD
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tests.postgres import PostgresServer

    Run = Callable[..., Result]

COMMANDS = (
    "validate",
    "plan",
    "apply",
    "status",
    "results",
    "drift",
    "audit",
    "duplicates",
    "import",
    "export",
)
ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "provisioning.md").read_text(encoding="utf-8")
# Of the guide's commands, those after the one that starts a sandbox, up to the results.
FIRST_STEPS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)[2:6]
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a key with openssl")


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


def lines_before_tables(result: Result) -> dict[str, str]:
    """Read the counts, which a blank line ends."""
    return dict(line.split("\t") for line in result.stdout.partition("\n\n")[0].splitlines())


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_plan_then_apply(account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path) -> None:
    """The saved plan is carried out; the results are a private file."""
    users(5)
    planned = run("plan", "users.csv", "--out", "plan.json")
    assert (planned.exit_code, len(account.endpoints)) == (0, 0)
    assert planned.stdout.endswith("\nPlan: 5 to create. About 1 s at 58 requests a second.\n")
    done = run("apply", "users.csv", "--state", "run.db", "--plan", "plan.json", "--results", "out.csv")
    assert (done.exit_code, lines(done)) == (0, {"created": "5", "duplicates": "0", "audited": "true"})
    assert "done: 5 of 5 rows, created 5" in done.stderr
    assert ("plan.json" in planned.stderr, "out.csv" in done.stderr) == (True, True)
    told = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["endpoint_id"] for row in told} == set(account.endpoints)
    assert {mode(tmp_path / name) for name in ("run.db", "run.db-lock", "out.csv")} == {0o600}


def test_a_stale_plan(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """A plan for another source, or an account that has changed, is refused before anything is created."""
    users(2)
    run("plan", "users.csv", "--out", "plan.json")
    users(3)
    other = run("apply", "users.csv", "--state", "run.db", "--plan", "plan.json")
    assert (other.exit_code, "has changed since the plan was made" in other.stderr) == (1, True)
    users(2)
    run("apply", "users.csv", "--state", "first.db")
    changed = run("apply", "users.csv", "--state", "run.db", "--plan", "plan.json")
    assert (changed.exit_code, "the account has changed" in changed.stderr) == (1, True)
    assert len(account.endpoints) == 2


def test_bad_lines(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """All of them are reported, as text and as JSON, and nothing is sent."""
    (tmp_path / "users.csv").write_text("username,alias,password\n1x,a,secret\nok,,secret\nfine,c,abc\n")
    told = run("apply", "users.csv", "--state", "run.db")
    assert told.exit_code == 2
    assert [line.split(":")[0] for line in told.stderr.splitlines()] == [
        "users.csv, line 2",
        "users.csv, line 3, key 'ok'",
        "users.csv, line 4, key 'fine'",
        "Error",
    ]
    assert told.stderr.endswith("\nError: 3 lines cannot be used; nothing was sent\n")
    document = json.loads(run("apply", "users.csv", "--state", "run.db", "--json").stderr)
    assert [problem["line"] for problem in document["error"]["problems"]] == [2, 3, 4]
    assert account.requests == ()


def test_a_column_that_is_not_known(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """It is named, so that a misspelling can be seen."""
    (tmp_path / "users.csv").write_text("username,alias,pasword\nalice,a,secret\n")
    told = run("plan", "users.csv")
    assert (told.exit_code, account.requests) == (2, ())
    assert told.stderr == (
        "users.csv, line 1: unknown column 'pasword'; known columns are username, alias, password, "
        "password_version, app_id, key; "
        "to ignore a column: --ignore-column NAME, or ignore_columns= in Python\n"
        "Error: 1 line cannot be used; nothing was sent\n"
    )


@needs_openssl
def test_rows_without_password_or_key(
    account: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message for all rows names the variable and the lines that set it without losing a key."""
    rows = "a1,a\na2,b\na3,c,secret\na4,d\na6,f\n".replace("\n", ",,\n").replace("secret,,", "secret,")
    (tmp_path / "users.csv").write_text("username,alias,password,app_id\n" + rows)
    told = run("plan", "users.csv")
    assert (told.exit_code, account.requests) == (2, ())
    first, second, _, *steps = told.stderr.splitlines()
    assert first == f"users.csv, lines 2-3, 5-6: password: {NO_PASSWORD}"
    assert second == "Error: 4 lines cannot be used; nothing was sent"
    document = json.loads(run("plan", "users.csv", "--json").stderr)["error"]
    assert document["hint"].splitlines()[1:] == steps
    key, again = (_key_of("\n".join(steps)) for _ in range(2))
    assert (len(key), again, mode(tmp_path / "provision.key")) == (64, key, 0o600)
    monkeypatch.setenv("PLIVO_PROVISION_KEY", key)
    assert run("plan", "users.csv").exit_code == 0


def _key_of(steps: str) -> str:
    """Take steps in a new shell, and return the master key that they leave."""
    script = f"{steps}\nprintf $PLIVO_PROVISION_KEY"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


def test_one_way_to_make_a_key(run: Run) -> None:
    """The help shows the same lines as the docs."""
    steps = FIRST_STEPS[0].splitlines()
    (making,) = [n for n, line in enumerate(steps) if "openssl" in line]
    shown = [line.strip() for line in run("--help").stdout.splitlines()]
    assert [line in shown for line in steps[making : making + 2]] == [True, True]


def test_a_failed_row(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """It is shown with its line and reason; the exit status is 1, for `status` too."""
    users(3)
    account.inject(Fault(applied=False, status=400, body='{"error": "no such luck"}'), method="POST")
    done = run("apply", "users.csv", "--state", "run.db")
    assert done.exit_code == 1
    assert done.stdout.endswith("\n\n2\tuser1x\tfailed\tPlivo refused it: no such luck\n")
    assert "failed rows are tried again" in done.stderr
    shown: dict[str, Any] = json.loads(run("status", "--state", "run.db", "--json").stdout)
    assert (shown["counts"]["failed"], shown["rows"][0]["key"]) == (1, "user1x")
    assert run("status", "--state", "run.db").exit_code == 1


def make_by_hand(name: str, alias: str) -> None:
    """Make an endpoint as a colleague does."""
    CliRunner().invoke(cli, ["create", name, "--alias", alias, "--password-stdin"], input="secret\n")


def test_duplicates_are_deleted(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """Only those that lost creates can have made, after confirmation, and none with a registered phone."""
    users(2)
    account.inject(Fault(applied=True, status=503), times=1, method="POST")
    run("apply", "users.csv", "--settle", "0.2")
    kept = set(account.endpoints)
    for alias in ("row-1", "row-1", "row-2"):
        make_by_hand(alias.replace("row-", "user") + "x", alias)
    _, registered, colleagues = sorted(account.endpoints.keys() - kept)
    account.register(registered)
    shown = run("duplicates")
    duplicates = {line.split("\t")[0]: line.split("\t")[2:] for line in shown.stdout.splitlines()}
    assert (shown.exit_code, set(duplicates)) == (3, account.endpoints.keys() - kept)
    assert sorted(key for key, _, _ in duplicates.values()) == ["user1x", "user1x", "user2x"]
    assert {own for _, own, _ in duplicates.values()} == kept
    assert (duplicates[colleagues][2], duplicates[registered][2]) == ("by hand", "can be")
    assert shown.stderr.endswith(" provision duplicates --state plivo-fleet.db --delete\n")
    document = json.loads(run("duplicates", "--json").stdout)
    assert [each["endpoint_id"] for each in document["duplicates"]] == list(duplicates)
    assert run("duplicates", "--delete").exit_code == 2  # nobody there to ask
    assert run("duplicates", "--yes").exit_code == 2  # nothing to confirm
    assert len(account.endpoints) == 5
    deleted = run("duplicates", "--delete", "--yes")
    assert "1 deleted, 1 skipped" in deleted.stderr
    assert (deleted.exit_code, set(account.endpoints)) == (3, kept | {registered, colleagues})
    account.unregister(registered)
    assert "1 deleted." in run("duplicates", "--delete", "--yes").stderr
    assert set(account.endpoints) == kept | {colleagues}


def test_no_duplicates(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """The output says that there are none."""
    users(1)
    run("apply", "users.csv")
    shown = run("duplicates")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "There are no duplicates.\n")
    assert json.loads(run("duplicates", "--json").stdout) == {"duplicates": []}
    assert len(account.endpoints) == 1


def test_only_a_colleagues_duplicates(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """No useless command is suggested, and `--delete` neither asks nor deletes."""
    users(1)
    run("apply", "users.csv", "--state", "run.db")
    make_by_hand("user1x", "row-1")
    audited = run("audit", "--state", "run.db")
    assert (audited.exit_code, audited.stderr) == (3, "")
    assert lines_before_tables(audited)["duplicates"] == "1"
    deleted = run("duplicates", "--state", "run.db", "--delete", "--yes")
    assert (deleted.exit_code, deleted.stderr, len(account.endpoints)) == (3, "", 2)


@pytest.mark.parametrize(("answer", "confirmed"), [("delete 1", True), ("delete", False), ("y", False)])
def test_the_prompt_before_duplicates_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, confirmed: bool
) -> None:
    """Only the whole phrase confirms; after anything else the output says that nothing was deleted."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    duplicate = Duplicate(key="k", endpoint_id="2", username="user1x2", alias="a", kept="1", deletable=True)
    assert is_confirmed([duplicate]) == confirmed
    assert capsys.readouterr().err.endswith("nothing deleted\n") != confirmed


def test_rows_that_wait_keep_others_from_being_put_right(
    account: Sandbox, run: Run, users: Callable[[int], None]
) -> None:
    """Before the run has ended no advice is given: a lost create could still take effect."""
    users(3)
    account.inject(Fault(applied=False, status=400), times=1, method="POST")
    account.inject(Fault(applied=False, status=401), rate=1.0, method="POST")
    run("apply", "users.csv", "--state", "run.db")
    told = run("status", "--state", "run.db")
    assert (lines_before_tables(told)["unprocessed"], "user1x\tfailed" in told.stdout) == ("2", True)
    assert told.stderr == ""


def test_a_server_that_is_not_there(
    account: Sandbox, run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported at once and on each retry, but not twice alike; `--json` prints only documents."""
    monkeypatch.setattr(_outage, "_PAUSES", (0.0, 0.0, 0.001))
    users(1)
    told = run("plan", "users.csv", "--base-url", "http://127.0.0.1:1")
    reason = "cannot connect to 127.0.0.1:1: Connection refused"
    assert told.stderr.splitlines() == [
        f"Warning: {reason}; retrying in 0 s",
        f"Warning: {reason}; retrying in 0.001 s",
        f"Error: {reason}",
    ]
    document = json.loads(run("plan", "users.csv", "--base-url", "http://127.0.0.1:1", "--json").stderr)
    assert (document["error"]["message"], account.requests) == (reason, ())


@pytest.mark.parametrize(("command", "options"), [("plan", []), ("apply", ["--state", "run.db"])])
@pytest.mark.usefixtures("account")
def test_a_source_without_rows(
    run: Run, users: Callable[[int], None], command: str, options: list[str]
) -> None:
    """An empty source is no error, but it is reported."""
    users(0)
    told = run(command, "users.csv", *options)
    assert (told.exit_code, "no rows" in told.stderr) == (0, True)


def test_a_vanished_endpoint(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """It needs review, and is created again only with `--recreate`."""
    users(2)
    run("apply", "users.csv")
    gone = min(account.endpoints)
    assert CliRunner().invoke(cli, ["delete", gone]).exit_code == 0
    audited = run("audit")
    assert (audited.exit_code, f"its endpoint {gone} no longer exists" in audited.stdout) == (3, True)
    again = run("apply", "users.csv")
    assert (again.exit_code, f"its endpoint {gone} is gone" in again.stdout) == (3, True)
    assert "--recreate" in again.stderr
    assert len(account.endpoints) == 1
    recreated = run("apply", "users.csv", "--recreate")
    assert (recreated.exit_code, lines(recreated)["created"]) == (0, "1")
    assert len(account.endpoints) == 2


def test_results(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """JSON lines by default, filtered by status on request."""
    users(3)
    account.inject(Fault(applied=False, status=400), method="POST")
    run("apply", "users.csv", "--state", "run.db")
    told = run("results", "--state", "run.db")
    assert [json.loads(line)["status"] for line in told.stdout.splitlines()] == [
        "failed",
        "created",
        "created",
    ]
    some = run("results", "--state", "run.db", "--status", "failed", "--format", "csv")
    assert some.stdout.splitlines()[1].startswith("user1x,failed,,,row-1,Plivo refused it")


def test_results_as_one_document(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """An array with `--json`; the contents of the file with `--out`."""
    users(3)
    run("apply", "users.csv", "--state", "run.db")
    told = json.loads(run("results", "--state", "run.db", "--json").stdout)
    assert {row["endpoint_id"] for row in told} == set(account.endpoints)
    assert json.loads(run("results", "--state", "run.db", "--json", "--status", "failed").stdout) == []
    written = run("results", "--state", "run.db", "--json", "--out", "made.csv")
    assert json.loads(written.stdout) == {"file": "made.csv", "rows": 3}
    assert run("results", "--state", "run.db", "--json", "--format", "csv").exit_code == 2


def test_results_that_break_off_are_no_document(
    account: Sandbox, run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truncated array must not look like a complete one."""
    users(2)
    run("apply", "users.csv", "--state", "run.db")

    async def broken(_: Path) -> AsyncGenerator[Outcome]:
        yield Outcome(key="user1x", status="created", alias="row-1")
        raise StateError("the disk has gone")

    monkeypatch.setattr(import_module("plivo_endpoints.cli.provision.results"), "read_outcomes", broken)
    told = run("results", "--state", "run.db", "--json")
    assert (told.exit_code, told.stdout[:18], "]" in told.stdout) == (1, '[{"key": "user1x",', False)
    assert len(account.endpoints) == 2


@pytest.mark.parametrize("name", ["there.csv", "x.txt", "missing/x.csv"])
def test_a_file_that_cannot_be_written(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path, name: str
) -> None:
    """An existing file, a name without a known format, a missing folder: refused at once."""
    users(1)
    (tmp_path / "there.csv").write_text("precious")
    for words in (
        ("apply", "users.csv", "--state", "run.db", "--results", name),
        *([] if name == "x.txt" else [("plan", "users.csv", "--out", name)]),
    ):
        refused = run(*words)
        assert (refused.exit_code, name.partition("/")[0] in refused.stderr) == (2, True)
    assert account.requests == ()
    run("apply", "users.csv", "--state", "run.db")
    assert run("results", "--state", "run.db", "--out", name).exit_code == 2
    assert (tmp_path / "there.csv").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"users.csv", "there.csv", "run.db", "run.db-lock"}


def test_a_form_that_the_name_does_not_tell(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path
) -> None:
    """`--format` selects it."""
    users(1)
    run("apply", "users.csv", "--state", "run.db")
    told = run("results", "--state", "run.db", "--out", "x.txt", "--format", "csv")
    assert (told.exit_code, lines(told)) == (0, {"file": "x.txt", "rows": "1"})
    assert (tmp_path / "x.txt").read_text().startswith("key,status,")
    assert len(account.endpoints) == 1


def test_results_that_cannot_be_told_leave_no_file(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path
) -> None:
    """The next attempt, with the right source, writes it."""
    users(2)
    run("apply", "users.csv", "--state", "run.db")
    (tmp_path / "other.csv").write_text("username,alias,password\nbob,b,s3cret\n")
    words = ("results", "--state", "run.db", "--out", "secret.jsonl", "--passwords")
    refused = run(*words, "other.csv")
    assert (refused.exit_code, (tmp_path / "secret.jsonl").exists()) == (1, False)
    assert run(*words, "users.csv").exit_code == 0
    assert len((tmp_path / "secret.jsonl").read_text().splitlines()) == len(account.endpoints)


def test_results_with_passwords(
    account: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given and derived passwords are written to a private file only, and not as CSV."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "correct horse battery staple")
    (tmp_path / "users.jsonl").write_text(
        '{"username": "alice", "alias": "a", "password": "s3cret"}\n{"username": "bob", "alias": "b"}\n'
    )
    assert run("apply", "users.jsonl", "--state", "run.db").exit_code == 0
    assert run("results", "--state", "run.db", "--passwords", "users.jsonl").exit_code == 2
    refused = run("results", "--state", "run.db", "--passwords", "users.jsonl", "--out", "secret.csv")
    assert (refused.exit_code, "JSON lines" in refused.stderr) == (2, True)
    assert not (tmp_path / "secret.csv").exists()
    told = run("results", "--state", "run.db", "--passwords", "users.jsonl", "--out", "secret.jsonl")
    alice, bob = [json.loads(line) for line in (tmp_path / "secret.jsonl").read_text().splitlines()]
    assert (told.exit_code, alice["password"], len(bob["password"])) == (0, "s3cret", 26)
    assert mode(tmp_path / "secret.jsonl") == 0o600
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "another horse battery staple")
    assert (
        "is not the one this state was created with"
        in run("apply", "users.jsonl", "--state", "run.db").stderr
    )
    monkeypatch.delenv("PLIVO_PROVISION_KEY")
    keyless = run("apply", "users.jsonl", "--state", "run.db")
    assert (keyless.exit_code, f"key 'bob': password: {NO_PASSWORD}" in keyless.stderr) == (2, True)
    assert len(account.endpoints) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_stopped_by_a_signal(
    account: Sandbox, users: Callable[[int], None], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Requests in flight are finished, and the printed command continues the run."""
    users(300)
    account.inject(Fault(applied=True, latency=0.05), rate=1.0, method="POST")
    words = ["provision", "apply", "users.csv", "--state", "run.db", "--concurrency", "4", "--settle", "1"]
    command = [sys.executable, "-m", "plivo_endpoints", *words]
    pipe = subprocess.PIPE
    inherited = signal.signal(number, signal.SIG_DFL)  # below `nohup` the command would rightly ignore it
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:  # noqa: S603
        signal.signal(number, inherited)
        while len(account.endpoints) < 20:
            assert process.poll() is None
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == status
    assert told.endswith(f" {' '.join(words[:5])} --concurrency 4 --settle 1.0\n")
    assert "\nError: stopped\nNothing is lost. To continue:\n  " in told
    made = len(account.endpoints)
    assert made < 300
    account.clear_faults()
    again = CliRunner().invoke(cli, words)
    assert (again.exit_code, len(account.endpoints)) == (0, 300)
    assert lines(again)["created"] == "300"  # nothing was cut short, so nothing had to be found again


@pytest.mark.slow
def test_nohup(account: Sandbox, users: Callable[[int], None], tmp_path: Path) -> None:
    """If SIGHUP is ignored, as under `nohup`, the end of the terminal does not end a run."""
    users(40)
    account.inject(Fault(applied=True, latency=0.05), rate=1.0, method="POST")
    command = f"trap '' HUP; exec {sys.executable} -m plivo_endpoints provision apply users.csv"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL, cwd=tmp_path) as process:  # noqa: S603, S607
        while len(account.endpoints) < 5:
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
    assert (process.returncode, len(account.endpoints)) == (0, 40)


@pytest.mark.slow
@pytest.mark.usefixtures("account")
def test_a_full_disk(run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and the command to continue with."""
    users(300)
    connect = sqlite3.connect

    def connect_to_small_disk(name: str, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(name, **options)
        db.execute("PRAGMA max_page_count = 20")
        return db

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_to_small_disk)
        stopped = run("apply", "users.csv", "--concurrency", "8")
    error, advice, line = stopped.stderr.splitlines()[-3:]
    assert (stopped.exit_code, error) == (
        1,
        "Error: the state plivo-fleet.db failed: database or disk is full",
    )
    assert advice == "Nothing is lost. Free some space on the disk of that file. Then, to continue:"
    assert line.endswith(" provision apply users.csv --state plivo-fleet.db --concurrency 8")
    assert run("apply", *line.rpartition(" apply ")[2].split()).exit_code == 0


@pytest.mark.usefixtures("account")
def test_a_full_disk_for_the_results(
    run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is done; the error names the file and the command that writes it again."""
    users(2)
    full = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with monkeypatch.context() as patch:
        patch.setattr(import_module("plivo_endpoints.cli.provision.results"), "_write", full)
        stopped = run("apply", "users.csv", "--results", "out.csv")
    error, _, line = stopped.stderr.splitlines()[-3:]
    assert (stopped.exit_code, error) == (1, "Error: [Errno 28] No space left on device: 'out.csv'")
    assert run(*line.partition(" provision ")[2].split()).exit_code == 0
    assert len(Path("out.csv").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PLIVO_AUTH_TOKEN", "wrong", "answered 401"),
        ("PLIVO_AUTH_TOKEN", "", "PLIVO_AUTH_TOKEN is missing"),
        ("PLIVO_PROVISION_KEY", "short", "PLIVO_PROVISION_KEY must have at least 16 characters"),
        ("PLIVO_PROVISION_KEY", "", "PLIVO_PROVISION_KEY, to derive it from, is not set"),
    ],
)
@pytest.mark.usefixtures("account")
def test_a_start_that_is_refused_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    """No new file is left, and no command to continue is shown."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "correct horse battery staple")
    Path("users.csv").write_text("username,alias\nalice,a\n")
    monkeypatch.setenv(name, value)
    refused = run("apply", "users.csv", "--state", "run.db")
    assert (refused.exit_code in {1, 2}, complaint in refused.stderr) == (True, True)
    assert [path.name for path in Path().iterdir()] == ["users.csv"]
    assert "go on" not in refused.stderr


@pytest.mark.usefixtures("account")
def test_a_start_that_is_refused_leaves_what_was_there(
    run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing state file is not removed."""
    users(1)
    Path("run.db").touch()
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "wrong")
    refused = run("apply", "users.csv", "--state", "run.db")
    assert (refused.exit_code, Path("run.db").exists(), "go on" in refused.stderr) == (1, True, False)


def test_a_stale_plan_leaves_nothing(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path
) -> None:
    """No state file is left either."""
    users(1)
    run("plan", "users.csv", "--out", "plan.json")
    run("apply", "users.csv", "--state", "first.db")
    assert run("apply", "users.csv", "--state", "run.db", "--plan", "plan.json").exit_code == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("run.db")]
    assert len(account.endpoints) == 1


async def test_a_state_in_use_is_left_alone(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path
) -> None:
    """The state of another run is not removed, even if that has not started yet."""
    users(1)
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    try:
        refused = await asyncio.to_thread(run, "apply", "users.csv", "--state", "run.db")
    finally:
        await state.close()
    assert (refused.exit_code, "in use by another run" in refused.stderr) == (1, True)
    assert "go on" not in refused.stderr
    assert (tmp_path / "run.db").exists()
    assert account.requests == ()


def test_a_run_that_stops_says_why_and_then_how_to_go_on(
    account: Sandbox, run: Run, users: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason, the hint, and the command with all its options; with `--json` in one document."""
    users(3)
    run("apply", "users.csv", "--state", "run.db")
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "wrong")
    words = ("apply", "users.csv", "--state", "run.db", "--base-url", account.base_url)
    stopped = run(*words)
    reason, _, hint, line = stopped.stderr.splitlines()[-4:]
    assert (stopped.exit_code, "answered 401" in reason) == (1, True)
    assert hint == "Nothing is lost. To continue:"
    assert line.endswith(f" provision {' '.join(words)}")
    told = json.loads(run(*words, "--json").stderr)["error"]
    assert told["go_on_with"].endswith(
        " provision apply users.csv --state run.db --json --base-url " + words[-1]
    )


def test_the_line_that_goes_on_shows_no_password(
    run: Run,
    users: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    postgres: PostgresServer,
    account: Sandbox,
) -> None:
    """The database's is left out of its URL; libpq may find it in the environment."""
    users(3)
    url = postgres.new_database()
    words = ("apply", "users.csv", "--base-url", account.base_url, "--rate", url)
    assert run(*words).exit_code == 0
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "wrong")
    stopped = run(*words)
    database = url.rpartition("@")[2]
    assert f" --rate postgresql://owner@{database} " in stopped.stderr
    assert "s3cret%20of" not in stopped.output


def test_the_line_that_goes_on_means_the_same(
    account: Sandbox, run: Run, users: Callable[[int], None], tmp_path: Path
) -> None:
    """A file name that looks like an option, and a zero that is not the default, are preserved."""
    users(3)
    (tmp_path / "users.csv").rename(tmp_path / "-dash.csv")
    account.inject(Fault(applied=False, status=403), rate=1.0, method="POST")
    stopped = run("apply", "--state", "run.db", "--settle", "0", "--", "-dash.csv")
    *_, line = stopped.stderr.splitlines()
    assert line.endswith(" provision apply ./-dash.csv --state run.db --settle 0.0")
    account.clear_faults()
    assert run("apply", *line.rpartition(" apply ")[2].split()).exit_code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes there")
def test_a_source_that_is_a_pipe(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """It is refused: a source is read more than once, and waiting for a pipe could not be interrupted."""
    os.mkfifo(tmp_path / "pipe.csv")
    for words in (["apply", "pipe.csv", "--state", "run.db"], ["plan", "pipe.csv"]):
        refused = run(*words)
        assert (refused.exit_code, "pipe.csv is not a regular file" in refused.stderr) == (2, True)
    assert account.requests == ()


def test_a_state_without_a_name(account: Sandbox, run: Run, users: Callable[[int], None]) -> None:
    """It is a usage error."""
    users(1)
    assert run("apply", "users.csv", "--state", "").exit_code == 2
    assert account.requests == ()


@pytest.mark.parametrize("command", ["apply", "status"])
@pytest.mark.parametrize("kind", ["text", "database", "other version", "device"])
def test_a_state_that_is_none(account: Sandbox, run: Run, tmp_path: Path, command: str, kind: str) -> None:
    """Another file, named by mistake, is not changed, and no file is created beside it."""
    (tmp_path / "users.csv").write_text("username,alias,password\nalice,front-desk,s3cret\n")
    named = tmp_path / "named"
    _make(named, kind)
    refused = run(command, *(["users.csv"] if command == "apply" else []), "--state", "named")
    assert refused.exit_code == 1
    reason = "a state of another version" if kind == "other version" else "not a state of this program"
    assert f"named is {reason}" in refused.stderr
    assert (mode(named), len(list(tmp_path.iterdir()))) == (0o644, 2)
    assert account.requests == ()


def _make(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("username,alias\n")
    elif kind == "device":
        os.mkfifo(path)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE letters (text)")
            if kind == "other version":
                db.execute("PRAGMA application_id = 0x504C4550")
                db.execute("PRAGMA user_version = 9")
            db.commit()
    path.chmod(0o644)


def test_no_state(account: Sandbox, run: Run) -> None:
    """`status` does not create one, and names the command that does."""
    refused = run("status", "--state", "run.db")
    assert (refused.exit_code, Path("run.db").exists()) == (2, False)
    assert "there is no state run.db: the first `apply` creates it" in refused.stderr
    assert account.requests == ()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(run: Run, command: str) -> None:
    """Each command lists its exit statuses, and its summary in the list of commands is not truncated."""
    shown = run(*command.split(), "--help")
    assert (shown.exit_code, "Exit status:" in shown.stdout) == (0, True)
    assert "..." not in shown.stdout.replace("[OPTIONS] COMMAND [ARGS]...", "").replace("ENDPOINT_ID...", "")


@pytest.mark.slow
@needs_openssl
def test_the_first_steps_of_the_docs(
    account: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They work as written, in an empty folder."""
    steps = "".join(FIRST_STEPS)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-ec", steps], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert (done.returncode, len(account.endpoints)) == (0, 3)
    assert "\nPlan: 3 to create. About 1 s at 58 requests a second.\ncreated\t3\n" in done.stdout
    told = [json.loads(line) for line in (tmp_path / "secret.jsonl").read_text().splitlines()]
    assert [row["password"] for row in told[:2]] == ["s3cret-1", "s3cret-2"]
    assert len(told[2]["password"]) == 26
    assert mode(tmp_path / "provision.key") == 0o600


def test_the_first_steps_and_the_readme_do_not_collide() -> None:
    """Following both on one account causes no conflict: no username or alias is in both."""
    rows = GUIDE.split("password\n", 1)[1].partition("END")[0].splitlines()
    names = [name for row in rows for name in row.split(",")[:2]]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (len(names), [name for name in names if f'"{name}"' in readme]) == (6, [])

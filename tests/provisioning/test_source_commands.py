"""The commands' SOURCE and its options, against the sandbox."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from plivo_endpoints.provisioning import _source
from plivo_endpoints.provisioning._text_file import PrivateCopy
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

CSV = "username,alias,password\nalice,a,s3cret\nbob,b,s3cret\n"
JSON = '{"username": "alice", "alias": "a", "password": "s3cret"}\n'


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[PrivateCopy]:
    """Note the copies that are made; what is left of them would be in an own folder."""
    made: list[PrivateCopy] = []
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    original = PrivateCopy.open

    def noted(self: PrivateCopy) -> Any:
        assert stat.S_IMODE(os.fstat(self._file.fileno()).st_mode) == 0o600
        assert os.fstat(self._file.fileno()).st_nlink == 0
        made.append(self)
        return original(self)

    monkeypatch.setattr(PrivateCopy, "open", noted)
    return made


def planned_creates(result: Result) -> int:
    """Return how many rows a plan shows as ones to create."""
    return sum(line.startswith("  + create") for line in result.stdout.splitlines())


def test_options_of_a_source(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """Every command that reads a source accepts them."""
    (tmp_path / "users.csv").write_bytes(b"username\talias\tpassword\tx\ty\nbea\tcaf\xe9\ts3cret\t1\t2\n")
    options = ("--delimiter", r"\t", "--encoding", "cp1252", "--ignore-column", "x", "--ignore-column", "y")
    assert planned_creates(run("plan", "users.csv", *options)) == 1
    assert run("apply", "users.csv", "--state", "run.db", *options).exit_code == 0
    out = ("results", "--state", "run.db", "--out", "made.jsonl", "--passwords", "users.csv")
    assert run(*out, *options).exit_code == 0
    assert json.loads((tmp_path / "made.jsonl").read_text())["password"] == "s3cret"
    assert [each.alias for each in account.endpoints.values()] == ["caf\xe9"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("plan", "users.csv", "--encoding", "no-such"), "encoding: must be a text encoding"),
        (("plan", "-", "--encoding", "no-such"), "encoding: must be a text encoding"),
        (("plan", "users.csv", "--delimiter", ";;"), "delimiter: must be one character"),
        (("plan", "users.csv", "--delimiter", ""), "delimiter: must be one character"),
        (("plan", "users.jsonl", "--delimiter", ";"), "are for CSV, but the source is JSON lines"),
        (("plan", "users.jsonl", "--ignore-column", "x"), "are for CSV, but the source is JSON lines"),
        (("plan", "missing.csv"), "'missing.csv' does not exist"),
        (("results", "--state", "users.csv", "--encoding", "utf-8"), "need --passwords"),
    ],
)
def test_options_that_are_refused(
    account: Sandbox, run: Run, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    """They are usage errors, and nothing is read or sent."""
    (tmp_path / "users.csv").write_text(CSV)
    (tmp_path / "users.jsonl").write_text(JSON)
    refused = run(*words, stdin=CSV)
    assert (refused.exit_code, complaint in refused.stderr) == (2, True)
    assert account.requests == ()


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [("users.csv.gz", CSV, 2), ("users.jsonl.gz", JSON, 1)],
)
@pytest.mark.usefixtures("account")
def test_packed_sources(run: Run, tmp_path: Path, name: str, content: str, count: int) -> None:
    """They are recognised by their names."""
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    assert planned_creates(run("plan", name)) == count


@pytest.mark.parametrize(
    ("content", "options", "count"),
    [
        (CSV, (), 2),
        (CSV.replace(",", ";"), ("--delimiter", ";"), 2),
        (JSON, (), 1),
        ("\ufeff\n " + JSON, (), 1),
        (JSON.encode("utf-16"), ("--encoding", "utf-16"), 1),
        ("", (), None),
    ],
)
@pytest.mark.usefixtures("account")
def test_standard_input(
    run: Run, copies: list[PrivateCopy], content: str | bytes, options: tuple[str, ...], count: int | None
) -> None:
    """CSV or JSON lines according to how it begins; read from a copy that nobody else can open."""
    planned = run("plan", "-", *options, stdin=content)
    if count is None:
        assert planned.stderr.startswith("standard input, line 1: must name the columns")
    else:
        assert planned_creates(planned) == count
    assert len({id(copy) for copy in copies}) == 1
    assert copies[0]._file.closed
    assert os.listdir(tempfile.gettempdir()) == []  # noqa: PTH208


@pytest.mark.usefixtures("copies")
def test_a_run_from_standard_input(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """The copy is read for each pass; the run can be resumed by passing the same rows again."""
    rows = "username,alias,password\n" + "".join(f"user{n}x,row-{n},secret-{n}\n" for n in range(20))
    account.inject(Fault(applied=False, status=403), rate=1.0, method="POST")
    stopped = run("apply", "-", "--state", "run.db", "--encoding", "ascii", stdin=rows)
    assert stopped.exit_code == 1
    assert stopped.stderr.endswith(" provision apply - --encoding ascii --state run.db\n")
    account.clear_faults()
    assert run("apply", "-", "--state", "run.db", "--encoding", "ascii", stdin=rows).exit_code == 0
    assert len(account.endpoints) == 20
    out = run("results", "--state", "run.db", "--passwords", "-", "--out", "made.jsonl", stdin=rows)
    assert (out.exit_code, len((tmp_path / "made.jsonl").read_text().splitlines())) == (0, 20)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.usefixtures("account")
def test_a_copy_goes_whatever_happens(
    run: Run, copies: list[PrivateCopy], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """It contains passwords, so it is always deleted."""
    monkeypatch.setattr(_source, "read_lines", Mock(side_effect=error))
    assert run("plan", "-", stdin=CSV).exit_code != 0
    assert copies[0]._file.closed


def test_columns_to_read_past_are_kept_in_the_line_that_goes_on(
    account: Sandbox, run: Run, tmp_path: Path
) -> None:
    """All of them, and a tab too."""
    (tmp_path / "users.csv").write_text("username\talias\tpassword\tx\ty z\nalice\ta\ts3cret\t1\t2\n")
    account.inject(Fault(applied=False, status=403), rate=1.0, method="POST")
    options = ("--delimiter", r"\t", "--ignore-column", "x", "--ignore-column", "y z")
    stopped = run("apply", "users.csv", "--state", "run.db", *options)
    wanted = r" apply users.csv --delimiter $'\x09' --ignore-column x --ignore-column 'y z' --state run.db"
    assert sorted(stopped.stderr.splitlines()[-1].partition(" apply ")[2].split(" --")) == sorted(
        wanted.partition(" apply ")[2].split(" --")
    )


def test_a_file_called_dash(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """It is not standard input, neither for the command nor in the line to continue with."""
    (tmp_path / "-").write_text(CSV)
    account.inject(Fault(applied=False, status=403), rate=1.0, method="POST")
    stopped = run("apply", "./-", "--state", "run.db", stdin="")
    assert stopped.stderr.endswith(" provision apply ./- --state run.db\n")


def test_a_key_that_begins_with_a_dash(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """The line to continue with gives it as a key and not as a file."""
    (tmp_path / "users.csv").write_text("username,alias,password,key\nalice,a,s3cret,-5\n")
    account.inject(Fault(applied=False, status=403), rate=1.0, method="POST")
    stopped = run("apply", "users.csv", "--state", "run.db", "--only=-5")
    assert " --only=-5" in stopped.stderr.splitlines()[-1]


@pytest.mark.usefixtures("account")
def test_bad_lines_as_people_read_them(run: Run, tmp_path: Path) -> None:
    """Each with file, line and key; at most fifty, and how many more there are."""
    rows = [f"user{n}x, a{n},s3cret" for n in range(2, 62)]
    (tmp_path / "users.csv").write_text("username,alias,password\n" + "\n".join([*rows, "zoe,z,"]))
    told = run("plan", "users.csv").stderr.splitlines()
    assert told[0] == "users.csv, line 2, key 'user2x': alias: must not begin or end with whitespace"
    assert told[50] == "and 11 more; --json shows all"
    assert told[51] == "Error: 61 lines cannot be used; nothing was sent"
    problems = json.loads(run("plan", "users.csv", "--json").stderr)["error"]["problems"]
    assert (len(problems), problems[0]) == (
        61,
        {
            "file": "users.csv",
            "line": 2,
            "key": "user2x",
            "reason": "alias: must not begin or end with whitespace",
        },
    )


@pytest.mark.usefixtures("account")
def test_a_file_that_is_none(run: Run, tmp_path: Path) -> None:
    """A problem of the whole file is not attributed to a line."""
    (tmp_path / "users.csv").write_bytes(gzip.compress(CSV.encode()))
    assert run("plan", "users.csv").stderr == (
        "users.csv: is compressed with gzip: let its name end in .gz, or decompress it\n"
        "Error: the source cannot be used; nothing was sent\n"
    )


@pytest.mark.usefixtures("account")
def test_many_lines_without_a_master_key(run: Run, tmp_path: Path) -> None:
    """They are named together, up to a limit."""
    rows = [f"user{n}x,a{n},{'' if n % 2 else 's3cret'}" for n in range(2, 202)]
    (tmp_path / "users.csv").write_text("username,alias,password\n" + "\n".join(rows))
    told = run("plan", "users.csv").stderr.splitlines()
    assert told[0].startswith("users.csv, lines 3, 5, 7, ")
    assert ", 101 and others: password: is missing, and PLIVO_PROVISION_KEY" in told[0]
    assert told[1] == "Error: 100 lines cannot be used; nothing was sent"


@pytest.mark.parametrize("command", ["plan", "apply", "results"])
def test_the_help_names_the_options(run: Run, command: str) -> None:
    """For every command that accepts a source."""
    shown = run(command, "--help").stdout
    assert [option in shown for option in ("--delimiter", "--encoding", "--ignore-column")] == [True] * 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_copy_is_gone_even_after_a_kill(account: Sandbox, tmp_path: Path) -> None:
    """However the process ends, its passwords are in no folder."""
    account.inject(Fault(applied=False, latency=60, reset=True), rate=1.0)
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "plivo_endpoints", "provision", "plan", "-"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:  # noqa: S603
        assert process.stdin is not None
        process.stdin.write(CSV.encode())
        process.stdin.close()
        while not account.requests:
            assert process.poll() is None
        process.kill()
    assert list((tmp_path / "temporary").iterdir()) == []

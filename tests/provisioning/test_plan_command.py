"""`provision plan` and `provision validate`: what they show, and with which status they end."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from plivo_endpoints.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

    Run = Callable[..., Result]

KEY = "correct horse battery staple"
BEFORE = """\
username,alias,password
dora,reception,s3cret-1
emil,warehouse,s3cret-2
user7,seven,s3cret-3
fay,lobby,s3cret-4
gus,Gus,s3cret-5
ida,Ida,s3cret-6
"""
AFTER = """\
username,alias,password,key
dora,front desk,s3cret-1,dora
emil,warehouse,s3cret-9,emil
user70,seven,s3cret-3,user7
gus,Gus,s3cret-5,gus
ida,Ida,s3cret-6,ida
lena,Sales,s3cret-7,lena
mia,Mia,s3cret-8,mia
hugo,Sales,s3cret-9,hugo
"""


STEPS = "1 to create, 1 to import, 2 to update, 1 to replace, 1 to delete"
SUMMARY = f"{STEPS}, 2 changed on the account, 1 in conflict"


def make_by_hand(username: str, alias: str) -> None:
    """Make an endpoint as a colleague does."""
    CliRunner().invoke(cli, ["create", username, "--alias", alias, "--password-stdin"], input="s3cret\n")


def ids_of(account: Sandbox, username: str) -> list[str]:
    """Return the endpoints of a name, the oldest first."""
    return sorted(id_ for id_, found in account.endpoints.items() if found.username[:-12] == username)


@pytest.fixture
def edited(account: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Give a fleet of which the file and the account have been edited in every way."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", KEY)
    (tmp_path / "users.csv").write_text(BEFORE)
    assert run("apply", "users.csv").exit_code == 0
    (gus,), (ida,) = ids_of(account, "gus"), ids_of(account, "ida")
    CliRunner().invoke(cli, ["update", gus, "--alias", "by hand"])
    CliRunner().invoke(cli, ["delete", ida])
    make_by_hand("mia", "Mia")
    make_by_hand("hugo", "Sales")
    make_by_hand("hugo", "Sales")
    (tmp_path / "users.csv").write_text(AFTER)
    return account


def test_a_line_for_each_step(edited: Sandbox, run: Run) -> None:
    """With its sign, what changes from what to what, and the option that it needs."""
    known = dict(edited.endpoints)
    (fay,), (mia,), hugo = (ids_of(edited, name) for name in ("fay", "mia", "hugo"))
    planned = run("plan", "users.csv")
    assert planned.stdout.splitlines() == [
        '  ~ update   dora  alias "reception" -> "front desk"',
        "  ~ update   emil  password",
        "-/+ replace  user7 username user7 -> user70   (needs --replace)",
        '  ~ drift    gus   alias "by hand" -> "Gus", changed on the account',
        planned.stdout.splitlines()[4],
        '  + create   lena  alias "Sales"',
        f"  < import   mia   endpoint {mia}   (needs --import)",
        f"  ! conflict hugo  several endpoints match it: {', '.join(hugo)}",
        f"  - delete   fay   endpoint {fay}   (needs --delete)",
        f"Plan: {SUMMARY}. About 1 s at 58 requests a second.",
    ]
    gone = planned.stdout.splitlines()[4]
    assert gone.startswith("  ~ drift    ida   endpoint ")
    assert gone.endswith(", gone from the account   (needs --recreate)")
    assert (planned.exit_code, dict(edited.endpoints)) == (3, known)


def test_as_json(edited: Sandbox, run: Run) -> None:
    """One document with the account, the counts, and each step with its id and its old and new values."""
    plan = json.loads(run("plan", "users.csv", "--json").stdout)
    assert plan["account"].startswith(edited.base_url)
    assert plan["counts"] == {
        "create": 1,
        "import": 1,
        "update": 2,
        "replace": 1,
        "delete": 1,
        "drift": 2,
        "conflict": 1,
        "unchanged": 0,
    }
    steps = {step["key"]: step for step in plan["steps"]}
    (dora,) = ids_of(edited, "dora")
    assert (steps["dora"]["endpoint_id"], steps["dora"]["line"]) == (dora, 2)
    assert steps["dora"]["changes"] == {"alias": ["reception", "front desk"]}
    assert steps["emil"]["changes"] == {"password": [None, None]}
    assert steps["user7"]["changes"] == {"username": ["user7", "user70"]}
    assert {step["key"]: step["needs"] for step in plan["steps"] if step["needs"]} == {
        "user7": "replace",
        "ida": "recreate",
        "mia": "import",
        "fay": "delete",
    }


@pytest.mark.usefixtures("edited")
def test_as_markdown(run: Run) -> None:
    """A table for a pull request, in which no alias can add a column."""
    shown = run("plan", "users.csv", "--markdown").stdout.splitlines()
    assert shown[0] == f"**Plan:** {SUMMARY}."
    assert shown[2:5] == [
        "| | step | key | |",
        "|---|---|---|---|",
        '| ~ | update | dora | alias "reception" -> "front desk" |',
    ]
    refused = run("plan", "users.csv", "--markdown", "--json")
    assert (refused.exit_code, "--json and --markdown cannot be used together" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("account")
def test_a_bar_in_an_alias(run: Run, tmp_path: Path) -> None:
    """It is escaped in a table."""
    (tmp_path / "users.csv").write_text("username,alias,password\nann,a|b,s3cret\n")
    assert run("plan", "users.csv", "--markdown").stdout.splitlines()[-1] == (
        '| + | create | ann | alias "a\\|b" |'
    )


@pytest.mark.usefixtures("account")
def test_fifty_steps_at_most(run: Run, tmp_path: Path) -> None:
    """The rest is counted; the duration follows the rate."""
    rows = "".join(f"user{n}x,row-{n},s3cret\n" for n in range(1_300))
    (tmp_path / "users.csv").write_text(f"username,alias,password\n{rows}")
    shown = run("plan", "users.csv", "--rate", "10").stdout.splitlines()
    assert (len(shown), shown[50]) == (52, "    and 1250 more; --json shows all")
    assert shown[51] == "Plan: 1300 to create. About 2 min at 10 requests a second."


@pytest.mark.usefixtures("account")
def test_a_rate_that_programs_share(run: Run, tmp_path: Path) -> None:
    """A file is made; whatever is neither that nor a number is refused, and makes none."""
    (tmp_path / "users.csv").write_text("username,alias,password\nann,desk,s3cret\n")
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE mine (x)")
    shown = run("plan", "users.csv", "--rate", "quota.db").stdout
    assert "About 1 s at 56 requests a second." in shown
    assert (tmp_path / "quota.db").exists()
    for value, problem in (
        ("0", "must be at least 1"),
        ("5.5", "must be a whole number, a file that ends in .db, or a postgresql:// URL"),
        ("plivo-fleet.db", "must be another file than the state"),
        ("missing/quota.db", "there is no folder"),
        ("other.db", "it is not a rate limit of this program"),
    ):
        refused = run("plan", "users.csv", "--rate", value)
        assert (refused.exit_code, problem in " ".join(refused.stderr.split())) == (2, True), refused.stderr


@pytest.mark.usefixtures("account")
def test_a_rate_that_several_hosts_share(run: Run, tmp_path: Path, postgres: PostgresServer) -> None:
    """A database is taken like a file; if it cannot be used, that is wrong usage, and no password shows."""
    (tmp_path / "users.csv").write_text("username,alias,password\nann,desk,s3cret\n")
    url = postgres.new_database()
    assert "About 1 s at 56 requests a second." in run("plan", "users.csv", "--rate", url).stdout
    refused = run("plan", "users.csv", "--rate", postgres.url(password="wrong-s3cret"))
    problem = 'password authentication failed for user "owner"'
    assert (refused.exit_code, problem in " ".join(refused.stderr.split())) == (2, True), refused.stderr
    assert "wrong-s3cret" not in refused.output


def test_the_exit_status(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """4 if requested and there is something to do, otherwise 0; rows that are gone need no decision."""
    (tmp_path / "users.csv").write_text(BEFORE)
    assert run("plan", "users.csv").exit_code == 0
    assert run("plan", "users.csv", "--detailed-exitcode").exit_code == 4
    run("apply", "users.csv")
    assert run("plan", "users.csv", "--detailed-exitcode").exit_code == 0
    (tmp_path / "users.csv").write_text(BEFORE.replace("fay,lobby,s3cret-4\n", ""))
    assert run("plan", "users.csv").exit_code == 0
    make_by_hand("lena", "Other")
    (tmp_path / "users.csv").write_text(f"{BEFORE}lena,Sales,s3cret-7\n")
    assert run("plan", "users.csv", "--detailed-exitcode").exit_code == 3
    assert len(account.endpoints) == 7


@pytest.mark.usefixtures("account")
def test_passwords_that_are_not_compared(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a master key plan and run say so, if there is something to compare."""
    (tmp_path / "users.csv").write_text(BEFORE)
    assert "Passwords are not compared" not in run("plan", "users.csv").stderr
    assert "Passwords are not compared" not in run("apply", "users.csv").stderr
    (tmp_path / "users.csv").write_text(BEFORE.replace("s3cret-1", "s3cret-9"))
    planned = run("plan", "users.csv")
    assert (planned.stdout, "Passwords are not compared" in planned.stderr) == ("Plan: 6 unchanged.\n", True)
    assert "Passwords are not compared" in run("apply", "users.csv").stderr
    monkeypatch.setenv("PLIVO_PROVISION_KEY", KEY)
    assert "Passwords are not compared" not in run("plan", "users.csv").stderr


def test_validate(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is offline, needs no credentials, writes nothing, and reports every problem."""
    for name in ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_PROVISION_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLIVO_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.csv").write_text(BEFORE)
    good = run("validate", "users.csv")
    assert (good.exit_code, good.stdout, good.stderr) == (0, "6 rows can be used.\n", "")
    assert json.loads(run("validate", "users.csv", "--json").stdout) == {"rows": 6}
    (tmp_path / "users.csv").write_text(f"{BEFORE}dora,a,s3cret\n1x,b,s3cret\n")
    bad = run("validate", "users.csv")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert [line.partition(":")[0] for line in bad.stderr.splitlines()] == [
        "users.csv, line 8, key 'dora'",
        "users.csv, line 9",
        "Error",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["users.csv"]

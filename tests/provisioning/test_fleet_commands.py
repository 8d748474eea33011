"""`apply` with what it may do, `drift`, `import` and `export`, on a file that is edited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from plivo_endpoints.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox

    Run = Callable[..., Result]

HEAD = "username,alias,password,key\n"
USERS = HEAD + "".join(f"user{n}x,row-{n},secret-{n},key-{n}\n" for n in range(1, 4))


@pytest.fixture
def fleet(account: Sandbox, run: Run, tmp_path: Path) -> Sandbox:
    """Give an account of three rows that were applied."""
    (tmp_path / "users.csv").write_text(USERS)
    assert run("apply", "users.csv").exit_code == 0
    return account


def counts(result: Result) -> dict[str, str]:
    """Read the counts, which a blank line ends."""
    return dict(line.split("\t") for line in result.stdout.partition("\n\n")[0].splitlines())


def make_by_hand(account: Sandbox, username: str, alias: str) -> str:
    """Make an endpoint as a colleague does, and return its id."""
    before = set(account.endpoints)
    CliRunner().invoke(cli, ["create", username, "--alias", alias, "--password-stdin"], input="s3cret\n")
    (made,) = set(account.endpoints) - before
    return made


def state_of(tmp_path: Path) -> bytes:
    """Return what the state holds."""
    return (tmp_path / "plivo-fleet.db").read_bytes()


def test_replace(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """An edited username waits until a new endpoint is allowed."""
    (tmp_path / "users.csv").write_text(USERS.replace("user1x", "anna"))
    before = set(fleet.endpoints)
    waiting = run("apply", "users.csv")
    assert (waiting.exit_code, counts(waiting)["review"], set(fleet.endpoints)) == (3, "1", before)
    replaced = run("apply", "users.csv", "--replace")
    assert (replaced.exit_code, counts(replaced)["replaced"]) == (0, "1")
    assert sorted(found.username[:-12] for found in fleet.endpoints.values()) == ["anna", "user2x", "user3x"]


def test_delete(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """Endpoints of removed rows stay until that is allowed, and one with a phone until that is, too."""
    (tmp_path / "users.csv").write_text(HEAD + "user1x,row-1,secret-1,key-1\n")
    left = run("apply", "users.csv")
    assert (left.exit_code, len(fleet.endpoints)) == (0, 3)
    assert "2 rows are no longer in the source; `apply --delete` deletes their endpoints." in left.stderr
    (registered,) = [id_ for id_, found in fleet.endpoints.items() if found.alias == "row-2"]
    fleet.register(registered)
    deleted = run("apply", "users.csv", "--delete")
    assert (counts(deleted)["deleted"], registered in fleet.endpoints, len(fleet.endpoints)) == ("1", True, 2)
    assert run("apply", "users.csv", "--delete", "--even-registered").exit_code == 0
    assert [found.alias for found in fleet.endpoints.values()] == ["row-1"]


def test_the_limit_of_deletions(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """Above it nothing is deleted, and the message has the numbers."""
    (tmp_path / "users.csv").write_text(HEAD)
    refused = run("apply", "users.csv", "--delete", "--delete-limit", "2")
    assert (refused.exit_code, "3 of 3 endpoints would be deleted, more than 2" in refused.stderr) == (
        1,
        True,
    )
    assert len(fleet.endpoints) == 3
    assert run("apply", "users.csv", "--delete", "--delete-limit", "3").exit_code == 0
    assert fleet.endpoints == {}


@pytest.mark.parametrize("options", [("--delete-limit", "5"), ("--even-registered",)])
def test_what_goes_with_deletions_only(
    account: Sandbox, run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Without `--delete` they are usage errors."""
    (tmp_path / "users.csv").write_text(USERS)
    refused = run("apply", "users.csv", *options)
    assert (refused.exit_code, f"{options[0]} needs --delete" in refused.stderr) == (2, True)
    assert account.requests == ()


def test_drift(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """Changes and deletions on the account are listed, and nothing is written."""
    known = state_of(tmp_path)
    quiet = run("drift")
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert quiet.stderr == "Nothing has changed on the account.\n"
    first, second, _ = sorted(fleet.endpoints)
    CliRunner().invoke(cli, ["update", first, "--alias", "by hand"])
    CliRunner().invoke(cli, ["delete", second])
    shown = run("drift")
    assert shown.exit_code == 3
    drifted = {line.split("\t")[1]: line.split("\t")[2] for line in shown.stdout.splitlines()}
    assert drifted.keys() == {first, second}
    assert drifted[first].startswith("changed on the account: alias 'row-")
    assert drifted[second] == f"its endpoint {second} is gone: allow a new one with recreate"
    steps = json.loads(run("drift", "--json").stdout)["drift"]
    assert {step["endpoint_id"]: step["needs"] for step in steps} == {first: None, second: "recreate"}
    assert state_of(tmp_path) == known


def test_import(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """It resolves a conflict, and says what `apply` does with the row then."""
    by_hand = make_by_hand(fleet, "lena", "Other")
    (tmp_path / "users.csv").write_text(f"{USERS}lena,Sales,s3cret-7,lena\n")
    stopped = run("apply", "users.csv", "--import")
    assert (stopped.exit_code, "provision import KEY=ENDPOINT_ID" in stopped.stderr) == (3, True)
    imported = run("import", f"lena={by_hand}")
    assert (imported.exit_code, imported.stdout) == (0, f"lena\t{by_hand}\tapply updates it\n")
    done = run("apply", "users.csv")
    assert (done.exit_code, counts(done)["updated"], len(fleet.endpoints)) == (0, "1", 4)
    again = json.loads(run("import", f"lena={by_hand}", "--json").stdout)
    assert again == [{"key": "lena", "endpoint_id": by_hand, "next": "nothing to do"}]


@pytest.mark.parametrize("pair", ["lena", "lena=", "=1", "="])
def test_what_is_no_pair(fleet: Sandbox, run: Run, tmp_path: Path, pair: str) -> None:
    """It is a usage error in one line, and nothing is sent, not even for the other pairs."""
    known, sent = state_of(tmp_path), len(fleet.requests)
    refused = run("import", f"key-1={min(fleet.endpoints)}", pair)
    assert (refused.exit_code, f"{pair!r} is not KEY=ENDPOINT_ID" in refused.stderr) == (2, True)
    assert (state_of(tmp_path), len(fleet.requests)) == (known, sent)


def test_an_import_that_is_refused(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """A missing key or endpoint, or an endpoint with another name or key: one line names the problem."""
    (tmp_path / "users.csv").write_text(f"{USERS}bob,Bob,s3cret-7,bob\nbob1,Bob,s3cret-8,bob-1\n")
    assert run("apply", "users.csv").exit_code == 0
    named = {found.username[:-12]: id_ for id_, found in fleet.endpoints.items()}
    known, endpoints = run("results").stdout, dict(fleet.endpoints)
    for pair, complaint in (
        (f"nobody={named['bob']}", "the state has no key 'nobody': apply the source first"),
        ("key-1=123", "the account has no endpoint 123"),
        (f"key-1={named['user2x']}", f"endpoint {named['user2x']} belongs to 'key-2'"),
        (f"bob={named['bob1']}", f"endpoint {named['bob1']} belongs to 'bob-1'"),
    ):
        refused = run("import", pair)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert (refused.stderr.count("\n"), complaint in refused.stderr) == (1, True), refused.stderr
    assert (run("results").stdout, dict(fleet.endpoints)) == (known, endpoints)


def test_an_export_can_be_applied(account: Sandbox, run: Run, tmp_path: Path) -> None:
    """With its ids ignored, it takes over every endpoint; the second time there is nothing to do."""
    for n in range(1, 4):
        make_by_hand(account, f"user{n}x", f"row, {n}")
    before = dict(account.endpoints)
    exported = run("export", "--out", "users.csv")
    assert (exported.exit_code, exported.stdout) == (0, "")
    assert exported.stderr.endswith("3 endpoints are in users.csv.\n")
    assert (tmp_path / "users.csv").stat().st_mode & 0o777 == 0o600
    key = {"PLIVO_PROVISION_KEY": "correct horse battery staple"}
    words = ["provision", "apply", "users.csv", "--ignore-column", "endpoint_id"]
    done = CliRunner().invoke(cli, [*words, "--import"], env=key)
    assert (done.exit_code, counts(done)["imported"], dict(account.endpoints)) == (0, "3", before)
    assert counts(CliRunner().invoke(cli, words, env=key))["unchanged"] == "3"


def test_an_export_to_standard_output(account: Sandbox, run: Run) -> None:
    """It is CSV with the requested usernames; there is no JSON form."""
    made = make_by_hand(account, "anna", "Anna")
    shown = run("export")
    head, *rows = shown.stdout.splitlines()
    assert head == "username,alias,app_id,endpoint_id"
    assert [row.split(",")[::3] for row in rows] == [["anna", made]]
    assert run("export", "--json").exit_code == 2


def test_some_rows_only(fleet: Sandbox, run: Run, tmp_path: Path) -> None:
    """Plan and run are for the chosen rows; others are not mentioned."""
    (tmp_path / "users.csv").write_text(USERS.replace("row-", "desk-").replace("user3x", "anna"))
    planned = run("plan", "users.csv", "--only", "key-1", "--only", "key-2")
    assert "Plan: 2 to update." in planned.stdout
    assert "key-3" not in planned.stdout
    ended = run("apply", "users.csv", "--only", "key-2")
    assert (ended.exit_code, counts(ended)["updated"], "key-3" in ended.stdout) == (0, "1", False)
    assert sorted(str(found.alias) for found in fleet.endpoints.values()) == ["desk-2", "row-1", "row-3"]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_key_that_is_not_there(fleet: Sandbox, run: Run, tmp_path: Path, command: str) -> None:
    """One line names it; nothing is sent and nothing changed."""
    before, sent = run("results").stdout, len(fleet.requests)
    (tmp_path / "users.csv").write_text(USERS.replace("row-", "desk-"))
    refused = run(command, "users.csv", "--only", "key-1", "--only", "nobody")
    assert refused.exit_code != 0
    assert "has a key that is in neither the source nor the state: 'nobody'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (run("results").stdout, len(fleet.requests)) == (before, sent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "users.csv", "--only", "key-1", "--out", "plan.json"), "--only cannot be used with --out"),
        (
            ("apply", "users.csv", "--only", "key-1", "--plan", "users.csv"),
            "--only cannot be used with --plan",
        ),
    ],
)
def test_only_and_saved_plans(fleet: Sandbox, run: Run, arguments: tuple[str, ...], message: str) -> None:
    """A saved plan is for all rows."""
    sent = len(fleet.requests)
    refused = run(*arguments)
    assert (refused.exit_code, message in refused.stderr, len(fleet.requests)) == (2, True, sent)

"""What is refused, fails, or may have happened: a line on stderr, and a status that tells which."""

import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from plivo_endpoints import ConnectError
from plivo_endpoints.cli.command_line import quote
from plivo_endpoints.cli.errors import list_changes_in_one_line, report
from plivo_endpoints.cli.options import Settings
from plivo_endpoints.sandbox import Fault, Sandbox

Run = Callable[..., Result]

FULL = "No space left on device"
ALIAS = 'it\'s "A" \\ \U0001f600\u202e'  # what quoting can get wrong
CREATE = ("create", "alice", "--alias", ALIAS, "--password-stdin")


def test_refused(sandbox: Sandbox, run: Run) -> None:
    """Plivo's no: status 1 and what it said."""
    assert sandbox.requests == ()
    result = run("get", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: GET Endpoint/1/ answered 404: not found (api_id ")
    assert len(result.stderr.splitlines()) == 1


def test_refused_as_json(sandbox: Sandbox, run: Run) -> None:
    """One document, on stderr, so that standard output holds answers only."""
    assert sandbox.requests == ()
    result = run("get", "1", "--json")
    error = json.loads(result.stderr)["error"]
    assert (result.exit_code, result.stdout) == (1, "")
    assert error == {
        "type": "NotFoundError",
        "message": error["message"],
        "status": 404,
        "api_id": error["api_id"],
        "attempts": 1,
    }


def test_the_wrong_token(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second line names the variables to look at; in JSON it is a field."""
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "another")
    hint = "Check PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN: the server does not accept this pair."
    refused = run("list")
    assert (refused.exit_code, refused.stderr.splitlines()[1:]) == (1, [hint])
    assert json.loads(run("list", "--json").stderr)["error"]["hint"] == hint
    assert len(sandbox.requests) == 2


def test_too_many_requests(sandbox: Sandbox, run: Run) -> None:
    """Where the server says how long to wait, a second line passes it on; in JSON it is a field."""
    sandbox.inject(Fault(applied=False, status=429, headers={"Retry-After": "90"}), times=2)
    refused = run("list")
    assert (refused.exit_code, refused.stderr.splitlines()[1:]) == (1, ["Try again in 90 s."])
    assert json.loads(run("list", "--json").stderr)["error"]["hint"] == "Try again in 90 s."


def test_no_server(run: Run, sandbox: Sandbox) -> None:
    """Nothing listens: status 1."""
    result = run("list", "--base-url", "http://127.0.0.1:1")
    assert sandbox.requests == ()
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("create", "7alice", "--alias", "a", "--password-stdin"), "Error: username: "),
        (("create", "alice", "--alias", "", "--password-stdin"), "Error: alias: "),
        (("update", "1"), "Error: nothing to change: give --alias, --app-id or --password"),
        (("get", ".."), "Error: endpoint_id: "),
        (("token", "--incoming"), "Error: sub: "),
        (("list", "--base-url", "http://example.com"), "Error: base_url: "),
        (("list", "--limit", "0"), "Invalid value for '--limit'"),
        (("token", "--lifetime", "179"), "Invalid value for '--lifetime'"),
        (("create", "alice"), "Missing option '--alias'"),
        (
            ("sandbox", "--host", "", "--state", "missing/x"),
            "must not be empty: to serve on all addresses",
        ),
        (("invent",), "No such command 'invent'"),
    ],
)
def test_wrong_usage(sandbox: Sandbox, run: Run, arguments: tuple[str, ...], problem: str) -> None:
    """Status 2, the rule that was broken, and nothing is sent."""
    result = run(*arguments, stdin="s3cret")
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr
    assert sandbox.requests == ()


@pytest.mark.parametrize("stdin", ["", "one\ntwo\n", b"\xffcanary"])
def test_a_password_that_is_not_one_line(sandbox: Sandbox, run: Run, stdin: str | bytes) -> None:
    """Status 2; what was read is shown nowhere."""
    result = run(*CREATE, stdin=stdin)
    assert result.exit_code == 2
    assert "one line of UTF-8" in result.stderr
    assert "canary" not in f"{result.output!r}{result.exc_info!r}"
    assert sandbox.requests == ()


def test_a_variable_that_is_no_text(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bytes that are not UTF-8 in the password's variable, or the master key's: status 2; shown nowhere."""
    other_bytes = b"canary canary canary \xe4".decode(errors="surrogateescape")
    rows = tmp_path / "users.csv"
    rows.write_text("username,alias\nalice,a\n")
    for name, command in (
        ("PLIVO_ENDPOINT_PASSWORD", ("create", "alice", "--alias", "a")),
        ("PLIVO_PROVISION_KEY", ("provision", "plan", str(rows))),
    ):
        monkeypatch.setenv(name, other_bytes)
        refused = run(*command)
        assert (refused.exit_code, name in refused.stderr, "UTF-8" in refused.stderr) == (2, True, True)
        assert "canary" not in f"{refused.output!r}{refused.exc_info!r}"
    assert sandbox.requests == ()


def test_a_sandbox_on_a_host_that_is_not_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1, and which host."""

    def nobody_knows(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    result = run("sandbox", "--host", "nope.invalid")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: cannot serve on nope.invalid: Name or service not known\n",
    )


def test_no_password(sandbox: Sandbox, run: Run) -> None:
    """Without a terminal nobody can be asked: status 2, and what to use."""
    result = run("create", "alice", "--alias", "a")
    assert result.exit_code == 2
    assert "--password-stdin or PLIVO_ENDPOINT_PASSWORD" in result.stderr
    assert sandbox.requests == ()


@pytest.mark.parametrize("missing", ["PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN"])
@pytest.mark.parametrize("command", [("list",), ("provision", "plan", __file__)], ids=["list", "plan"])
def test_no_credentials(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, missing: str, command: tuple[str, ...]
) -> None:
    """Status 2, and the names of the variables; nobody is told to pass what cannot be passed."""
    monkeypatch.delenv(missing)
    result = run(*command)
    assert (result.exit_code, sandbox.requests) == (2, ())
    assert result.stderr == f"Error: {missing} is missing: set PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN\n"


def test_credentials_that_cannot_be(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, not the argument of the library."""
    monkeypatch.setenv("PLIVO_AUTH_ID", "alice")
    result = run("list")
    assert (result.exit_code, sandbox.requests) == (2, ())
    assert result.stderr.startswith("Error: PLIVO_AUTH_ID must be MA or SA followed by ")


def test_unknown_outcome(sandbox: Sandbox, run: Run) -> None:
    """Status 3, and a line to paste which finds the endpoint that was made all the same."""
    sandbox.inject(Fault(applied=True, status=500))
    result = run(*CREATE, "--base-url", sandbox.base_url, stdin="s3cret")
    (endpoint_id,) = sandbox.endpoints
    assert (result.exit_code, result.stdout) == (3, "")
    told, *_, line = result.stderr.splitlines()
    assert told.startswith("Error: whether endpoint 'alice' was created is unknown: ")
    assert "Do not run it again" in result.stderr
    assert f"find-created --username alice --alias {quote(ALIAS)} --sent-at 2" in line
    found = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert (found.returncode, found.stdout.split("\t")[0]) == (0, endpoint_id)


def test_unknown_outcome_as_json(sandbox: Sandbox, run: Run) -> None:
    """The document holds what `find_created` wants, and the endpoint's id where it came."""
    sandbox.inject(Fault(applied=True, status=201, body='{"endpoint_id": "18406780198123"}'))
    result = run(*CREATE, "--json", stdin="s3cret")
    error = json.loads(result.stderr)["error"]
    assert (result.exit_code, error["type"]) == (3, "OutcomeUnknownError")
    assert (error["username"], error["alias"]) == ("alice", ALIAS)
    assert error["endpoint_id"] == "18406780198123"
    assert error["sent_at"] in error["find_out_with"]


def test_other_warnings_are_left_alone() -> None:
    """Only a changed list gets a line of ours."""
    with pytest.warns(DeprecationWarning, match="old"), list_changes_in_one_line():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C, also at a prompt, ends with the status that shells give it."""
    assert report(error, Settings()) == 130
    assert capsys.readouterr().err == "Error: stopped\n"


def test_a_failure_of_the_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Commands may fail in their own words."""
    assert report(click.ClickException("no luck"), Settings()) == 1
    assert report(OSError(28, "No space left on device"), Settings()) == 1
    assert report(ConnectError("gone", method="GET", path="Endpoint/"), Settings()) == 1
    assert capsys.readouterr().err == (
        "Error: no luck\nError: [Errno 28] No space left on device\nError: gone\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
@pytest.mark.usefixtures("output_buffering")
class TestFullDisk:
    """Standard output that takes nothing."""

    def test_of_a_create(self, sandbox: Sandbox) -> None:
        """Status 3, and the endpoint's id on stderr: run again, it would make a second one."""
        result = to_full_disk(*CREATE)
        (endpoint_id,) = sandbox.endpoints
        username = sandbox.endpoints[endpoint_id].username
        assert (result.returncode, result.stderr) == (
            3,
            f"Error: endpoint {endpoint_id} was created as {username}, but the output was lost: {FULL}\n",
        )

    def test_of_a_list(self, sandbox: Sandbox) -> None:
        """Status 1."""
        sandbox.seed(1)
        result = to_full_disk("list")
        assert (result.returncode, result.stderr) == (1, f"Error: [Errno 28] {FULL}\n")


def to_full_disk(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that cannot write its output."""
    command = [sys.executable, "-m", "plivo_endpoints", *arguments]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        return subprocess.run(  # noqa: S603
            command, input="s3cret", stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

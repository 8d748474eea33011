"""`find-created`: what became of a create with an unknown outcome."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import Result

from plivo_endpoints.cli import command_line as shell
from plivo_endpoints.sandbox import Fault, Sandbox

Run = Callable[..., Result]

CREATE = ("create", "alice", "--alias", "front desk", "--password-stdin")
FIND = ("find-created", "--username", "alice", "--alias", "front desk")


def ago(seconds: float) -> str:
    """Write down a moment that was."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_what_was_created(sandbox: Sandbox, run: Run) -> None:
    """It is listed, as lines and as one document."""
    sandbox.inject(Fault(applied=True, status=500))
    assert run(*CREATE, stdin="s3cret").exit_code == 3
    ((endpoint_id, made),) = sandbox.endpoints.items()
    shown = run(*FIND, "--sent-at", ago(300))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"{endpoint_id}\t{made.username}\tfront desk\t")
    (found,) = json.loads(run(*FIND, "--sent-at", ago(300), "--json").stdout)
    assert (found["endpoint_id"], found["alias"]) == (endpoint_id, "front desk")


def test_nothing_was_created(sandbox: Sandbox, run: Run) -> None:
    """An empty list and what that means; as JSON the empty list alone."""
    shown = run(*FIND, "--sent-at", ago(300))
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "Nothing was created, so it is safe to create it now.\n"
    document = run(*FIND, "--sent-at", ago(300), "--json")
    assert (document.exit_code, document.stdout, document.stderr) == (0, "[]\n", "")
    assert len(sandbox.requests) == 2


def test_how_long_it_looks(sandbox: Sandbox, run: Run) -> None:
    """People are told before it begins; `--settle` counts from when the create was sent."""
    run(*CREATE, stdin="s3cret")
    told = run(*FIND, "--sent-at", ago(10), "--settle", "60")
    assert re.fullmatch(r"Looking for up to (49|50) s\.\n", told.stderr)
    assert len(sandbox.endpoints) == 1


@pytest.mark.parametrize("settle", ["1e12", "1e300"])
def test_a_patience_without_end(sandbox: Sandbox, run: Run, settle: str) -> None:
    """However long it may look, what is there is found at once."""
    run(*CREATE, stdin="s3cret")
    found = run(*FIND, "--sent-at", ago(10), "--settle", settle)
    assert (found.exit_code, len(found.stdout.splitlines())) == (0, 1)
    assert found.stderr.startswith("Looking for up to ")
    assert len(sandbox.endpoints) == 1


@pytest.mark.parametrize("settle", ["inf", "nan"])
def test_a_patience_that_cannot_be(sandbox: Sandbox, run: Run, settle: str) -> None:
    """What is no finite number is wrong usage."""
    refused = run(*FIND, "--sent-at", ago(10), "--settle", settle)
    assert (refused.exit_code, sandbox.requests) == (2, ())
    assert refused.stderr == "Error: settle: must be a finite number of seconds, zero or more\n"


def test_several(sandbox: Sandbox, run: Run) -> None:
    """Which of them is the one, only a person can say: status 3."""
    for _ in range(2):
        run(*CREATE, stdin="s3cret")
    shown = run(*FIND, "--sent-at", ago(1))
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (3, 2)
    assert "a person has to decide" in shown.stderr
    assert len(sandbox.endpoints) == 2


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-31T12:00:00", "2999-01-31T12:00:00Z"])
def test_a_moment_that_cannot_be(sandbox: Sandbox, run: Run, moment: str) -> None:
    """No time, a time of nowhere in particular, and one to come are wrong usage."""
    refused = run(*FIND, "--sent-at", moment)
    assert (refused.exit_code, sandbox.requests) == (2, ())
    assert "Invalid value for '--sent-at'" in refused.stderr


@pytest.mark.parametrize(
    "word", ["", "plain", "two words", "it's", "$HOME `x`", "caf\u00e9\\'\n", "\udcff\u202e"]
)
def test_a_word_survives_the_shell(word: str) -> None:
    """What is quoted is printable ASCII, and comes out of a shell as it went in."""
    quoted = shell.quote(word)
    assert quoted.isascii()
    assert quoted.isprintable()
    heard = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)  # noqa: S603, S607
    assert word == heard.stdout.decode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("found", "variables", "program"),
    [
        ("/my venv/plivo-endpoints", {}, "plivo-endpoints"),
        ("/my venv/plivo-endpoints", {"UV": "/bin/uv"}, "'/my venv/python' -m plivo_endpoints"),
        ("/another/plivo-endpoints", {}, "'/my venv/python' -m plivo_endpoints"),
        (None, {}, "'/my venv/python' -m plivo_endpoints"),
    ],
)
def test_the_program_of_a_line_to_paste(
    monkeypatch: pytest.MonkeyPatch, found: str | None, variables: dict[str, str], program: str
) -> None:
    """Its name where a shell finds this very one by it, else the interpreter that runs it now."""
    monkeypatch.setattr(shutil, "which", {"plivo-endpoints": found}.get)
    monkeypatch.setattr(sys, "executable", "/my venv/python")
    monkeypatch.delenv("UV", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shell.command_line(["get", "1"]) == f"{program} get 1"

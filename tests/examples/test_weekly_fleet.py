"""The example of weekly provisioning: two weeks of it, from Python, the command line and the workflow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.examples.conftest import EXAMPLES
from tests.services.service import environment_of

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox

pytestmark = pytest.mark.slow

PROGRAMS: Final = Path(sys.executable).parent
FIRST_WEEK: Final = {"dora": "Reception", "emil": "Workshop", "fay": "Library"}
SECOND_WEEK: Final = {"dora": "Front desk", "emil": "Workshop", "lena": "Sales"}
Week = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the example."""
    copy = tmp_path / "weekly_fleet"
    shutil.copytree(EXAMPLES / "weekly_fleet", copy)
    return copy


@pytest.fixture
def environment(threaded_sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Return the variables that a job has."""
    variables = environment_of(
        threaded_sandbox, PLIVO_PROVISION_KEY="a key for the tests only", HOME=str(tmp_path)
    )
    return variables | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "FLEET_STATE": str(tmp_path / "fleet.db")}


@pytest.fixture
def run(folder: Path, environment: dict[str, str]) -> Week:
    """Run a command in the folder of the example."""

    def run_command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            words, cwd=folder, env=environment | more, capture_output=True, text=True, timeout=60, check=False
        )

    return run_command


def edit(folder: Path) -> None:
    """Edit the file as the README proposes: an alias, one who leaves, one who comes."""
    (folder / "users.csv").write_text(
        "username,alias,password_version\ndora,Front desk,1\nemil,Workshop,1\nlena,Sales,1\n"
    )


def aliases(sandbox: Sandbox) -> dict[str, str]:
    """Return the alias of each endpoint by its username without digits; fail if there are two of one."""
    found = [(re.sub(r"\d+$", "", one.username), one.alias) for one in sandbox.endpoints.values()]
    assert len(found) == len(dict(found)), found
    return dict(found)


def test_with_python(run: Week, folder: Path, threaded_sandbox: Sandbox) -> None:
    """One endpoint for each row; deletions only as many as were confirmed."""
    weekly = (sys.executable, "weekly.py")
    assert "Plan: 3 to create." in run(*weekly, "plan").stdout
    assert {} == aliases(threaded_sandbox)
    first = run(*weekly, "apply")
    assert (0, "") == (first.returncode, first.stderr), first
    assert FIRST_WEEK == aliases(threaded_sandbox)

    edit(folder)
    refused = run(*weekly, "apply", "--deletions", "2")
    assert (1, "2 deletions were confirmed, but the plan has 1: nothing was done\n") == (
        refused.returncode,
        refused.stderr,
    )
    assert FIRST_WEEK == aliases(threaded_sandbox)
    second = run(*weekly, "apply")
    assert (0, FIRST_WEEK | SECOND_WEEK) == (second.returncode, aliases(threaded_sandbox)), second
    assert "1 no longer in the file; delete them with --deletions 1" in second.stdout
    third = run(*weekly, "apply", "--deletions", "1")
    assert (0, SECOND_WEEK) == (third.returncode, aliases(threaded_sandbox)), third
    assert dict.fromkeys(FIRST_WEEK | SECOND_WEEK, 1) == threaded_sandbox.applied_creates

    lost_state = run(*weekly, "apply", FLEET_STATE=str(folder / "another.db"))
    assert (3, SECOND_WEEK) == (lost_state.returncode, aliases(threaded_sandbox)), lost_state

    (folder / "users.csv").write_text("username,alais\ndora,Reception\n")
    mistaken = run(*weekly, "apply")
    assert (1, True) == (mistaken.returncode, mistaken.stderr.startswith("SourceError: ")), mistaken


def steps_of(job: str) -> list[dict[str, Any]]:
    """Return the workflow's steps that run the example's own commands."""
    workflow = yaml.safe_load((EXAMPLES / "weekly_fleet" / "phones.yaml").read_text())
    return [
        step for step in workflow["jobs"][job]["steps"] if step.get("name") in {"Plan", "Comment", "Apply"}
    ]


def test_the_workflow(run: Week, folder: Path, threaded_sandbox: Sandbox) -> None:
    """Its commands comment on a pull request, apply what was merged, and delete when a number was given."""
    gh = folder / "gh"
    gh.write_text('#!/bin/sh\necho "$@" >> said.txt\ncat "$5" >> said.txt\n')
    gh.chmod(0o700)
    path = f"{folder}:{PROGRAMS}:{os.environ['PATH']}"

    def run_job(job: str, **variables: str) -> None:
        for step in steps_of(job):
            done = run("bash", "-e", "-c", step["run"], PATH=path, **variables)
            assert 0 == done.returncode, done

    run_job("apply", DELETIONS="0")
    assert FIRST_WEEK == aliases(threaded_sandbox)
    edit(folder)
    run_job("plan", PULL_REQUEST="7")
    said = (folder / "said.txt").read_text()
    assert "pr comment 7 --body-file plan.md --edit-last --create-if-none" in said
    assert {"update", "create", "delete"} <= set(re.findall(r"\w+", said))
    assert FIRST_WEEK == aliases(threaded_sandbox)
    run_job("apply", DELETIONS="0")
    assert FIRST_WEEK | SECOND_WEEK == aliases(threaded_sandbox)
    run_job("apply", DELETIONS="1")
    assert SECOND_WEEK == aliases(threaded_sandbox)
    assert dict.fromkeys(FIRST_WEEK | SECOND_WEEK, 1) == threaded_sandbox.applied_creates

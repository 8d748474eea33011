"""The examples in docs/guides/testing.md and docs/guides/sandbox.md hold as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plivo_endpoints.sandbox import Fault, Sandbox

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TESTING = (ROOT / "docs" / "guides" / "testing.md").read_text("utf-8")
SANDBOX = (ROOT / "docs" / "guides" / "sandbox.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", TESTING, re.DOTALL)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Each block of code on the page about testing is a file that its first line names."""
    assert ["switchboard.py", "test_switchboard.py", "conftest.py"] == [name for name, _ in BLOCKS]
    for name, code in BLOCKS:
        (tmp_path / name).write_text(code)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run Python in a folder and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ended = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout


def test_testing_your_own_service(service: Path) -> None:
    """Pytest passes on the files."""
    (service / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode=auto\nasyncio_default_fixture_loop_scope=function\nfilterwarnings=error\n"
    )
    printed = run(service, "-m", "pytest", "-p", "pytest_plivo_endpoints", "-p", "no:cacheprovider")
    assert "3 passed" in printed


def test_it_under_anyio(service: Path) -> None:
    """Pytest passes on the files without pytest-asyncio too, whether trio is installed or not."""
    with (service / "test_switchboard.py").open("a") as file:
        file.write("\n\npytestmark = pytest.mark.anyio\n")
    plugins = ("-p", "pytest_plivo_endpoints", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "3 passed" in run(service, "-m", "pytest", *plugins)


def test_its_types(service: Path) -> None:
    """Mypy passes on the files, as strict as it can be."""
    assert "no issues found in 3 source files" in run(service, "-m", "mypy", "--strict", ".")


def test_the_script_in_sandbox_md(tmp_path: Path) -> None:
    """It is one, and tells where the sandbox is: first in the loop, then in a thread."""
    (script,) = re.findall(r"```python\n(.*?)```", SANDBOX, re.DOTALL)
    (tmp_path / "script.py").write_text(script)
    lines = run(tmp_path, "-W", "error", "script.py").splitlines()
    assert ["http://127.0.0.1"] * 2 == [line.rpartition(":")[0] for line in lines]


def test_the_faults_in_sandbox_md() -> None:
    """Each can be ordered."""
    faults = re.findall(r"^\| .* \| `(Fault\(.*?\))`", SANDBOX, re.MULTILINE)
    for fault in faults:
        Sandbox().inject(eval(fault, {"Fault": Fault}))  # noqa: S307 - the page's own text
    assert 9 == len(faults)

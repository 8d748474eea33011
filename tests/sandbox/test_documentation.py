"""The examples in docs/guides/testing.md and docs/guides/sandbox.md hold as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plivo_endpoints.sandbox import Fault, Sandbox
from tests.docs.pages import DOCS, Page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SANDBOX = (DOCS / "guides" / "sandbox.md").read_text("utf-8")
BLOCKS = [block for block in Page.read(DOCS / "guides" / "testing.md").blocks if block.language == "python"]


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Each block of code on the page about testing is a file that its first line names."""
    for block in BLOCKS:
        assert block.file_name is not None
        (tmp_path / block.file_name).write_text(block.code)
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


def test_it_under_anyio(service: Path) -> None:
    """Pytest passes on the files without pytest-asyncio too, whether trio is installed or not."""
    with (service / "test_switchboard.py").open("a") as file:
        file.write("\n\npytestmark = pytest.mark.anyio\n")
    plugins = ("-p", "pytest_plivo_endpoints", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "3 passed" in run(service, "-m", "pytest", *plugins, "test_switchboard.py")


def test_its_types(service: Path) -> None:
    """Mypy passes on the files, as strict as it can be."""
    assert f"no issues found in {len(BLOCKS)} source files" in run(service, "-m", "mypy", "--strict", ".")


def test_the_faults_in_sandbox_md() -> None:
    """Each can be ordered."""
    faults = re.findall(r"^\| .* \| `(Fault\(.*?\))`", SANDBOX, re.MULTILINE)
    for fault in faults:
        Sandbox().inject(eval(fault, {"Fault": Fault}))  # noqa: S307 - the page's own text
    assert 9 == len(faults)

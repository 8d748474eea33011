"""The pytest plugin, in runs of its own; and unittest, which needs none."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PLUGIN = "pytest_plivo_endpoints"

BLOCKING = """
def test_create(plivo_sandbox, plivo_blocking_client):
    plivo_blocking_client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert len(plivo_sandbox.endpoints) == 1

def test_an_account_of_its_own(plivo_sandbox):
    assert (len(plivo_sandbox.endpoints), plivo_sandbox.requests) == (0, ())
"""

ASYNC = """
import pytest

@MARK
async def test_create(plivo_sandbox, plivo_client):
    await plivo_client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert len(plivo_sandbox.endpoints) == 1
"""

UNITTEST = """
import unittest
from plivo_endpoints import Client
from plivo_endpoints.sandbox import Sandbox

class CreateTest(unittest.TestCase):
    def test_create(self):
        with Sandbox() as sandbox, Client(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url
        ) as client:
            client.endpoints.create(username="alice", password="s3cret", alias="a")
            self.assertEqual(1, len(sandbox.endpoints))
"""


def run(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run a module in a folder, all warnings being errors, and return what it printed before `status`."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", *arguments]
    # The outer run's settings are no concern of the inner one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ended = subprocess.run(  # noqa: S603
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    printed = ended.stdout + ended.stderr
    assert status == ended.returncode, printed
    return printed


def run_pytest(folder: Path, test: str, *arguments: str, status: int = 0) -> str:
    """Run a test file under pytest."""
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return run(folder, "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments, status=status)


def test_blocking_tests(tmp_path: Path) -> None:
    """Each test has an empty account; no plugin for async tests is needed."""
    assert "2 passed" in run_pytest(tmp_path, BLOCKING, "-p", "no:asyncio", "-p", "no:anyio")


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_async_tests_under_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    """Both modes of pytest-asyncio know the async client."""
    test = ASYNC.replace("MARK", "pytest.mark.asyncio")
    settings = ("-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function")
    assert "1 passed" in run_pytest(tmp_path, test, *settings)


def test_async_tests_under_anyio(tmp_path: Path) -> None:
    """Without pytest-asyncio, anyio's own plugin does."""
    test = ASYNC.replace("MARK", "pytest.mark.anyio")
    test += "\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
    assert "1 passed" in run_pytest(tmp_path, test, "-p", "no:asyncio")


@pytest.mark.parametrize("trio", ["'trio'", "('trio', {})"])
def test_async_tests_under_trio(tmp_path: Path, trio: str) -> None:
    """Where anyio would run each test twice, the half for trio says that it cannot, and what to do."""
    test = ASYNC.replace("MARK", "pytest.mark.anyio")
    test += (
        f"\n@pytest.fixture(params=['asyncio', {trio}])\ndef anyio_backend(request): return request.param\n"
    )
    printed = run_pytest(tmp_path, test, "-p", "no:asyncio", "-rN", status=1)
    problem = (
        "plivo_client works with asyncio only, not with trio: let a fixture named `anyio_backend` return"
    )
    assert ("1 passed, 1 error", 1) == (re.findall(r"1 passed, 1 error", printed)[0], printed.count(problem))


def test_async_tests_without_a_plugin(tmp_path: Path) -> None:
    """Each of them, not the first alone, says what to install."""
    test = ASYNC.replace("@MARK", "")
    test += test.replace("test_create", "test_create_again")
    printed = run_pytest(tmp_path, test, "-p", "no:asyncio", "-rN", status=1)
    assert ["2 errors", 2] == [
        re.findall(r"\d errors", printed)[-1],
        printed.count("pip install pytest-asyncio"),
    ]


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_in_parallel(tmp_path: Path) -> None:
    """Workers of pytest-xdist have a sandbox each."""
    settings = ("-n", "2", "-o", "asyncio_default_fixture_loop_scope=function")
    assert "2 passed" in run_pytest(tmp_path, BLOCKING, *settings)


def test_unittest_needs_no_plugin(tmp_path: Path) -> None:
    """`with Sandbox()` is enough."""
    (tmp_path / "test_it.py").write_text(UNITTEST)
    assert "OK" in run(tmp_path, "unittest", "test_it")


COST = f"""
import sys, time
import pytest
begun = time.process_time()
import {PLUGIN}
print(time.process_time() - begun, any(name.startswith("plivo_endpoints") for name in sys.modules))
"""


def test_a_run_without_it_pays_nothing(tmp_path: Path) -> None:
    """Loading the plugin takes under 5 ms and imports nothing of the package."""
    (tmp_path / "cost.py").write_text(COST)
    seconds, imported = run(tmp_path, "cost").split()
    assert ("False", True) == (imported, float(seconds) < 0.005)

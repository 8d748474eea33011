"""The worked example of CONTRIBUTING.md, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
HEADER = '''"""The worked example's test."""

from aioresponses import aioresponses
from plivo_endpoints import Application, AsyncClient, Client

AUTH_ID = "MA000000000000000000"


'''
BLOCKING = '''

def test_the_blocking_twin(canned: aioresponses) -> None:
    """It is there, with signature and docstring."""
    client = Client(AUTH_ID, "token")
    assert client.endpoints.get_application.__doc__.startswith("Read an application.")
'''


def insert(path: Path, text: str, before: str) -> None:
    """Insert text before the first occurrence of another."""
    source = path.read_text(encoding="utf-8")
    assert before in source
    path.write_text(source.replace(before, text + before, 1), encoding="utf-8")


@pytest.mark.slow
def test_how_to_add_an_operation(tmp_path: Path) -> None:
    """After its six steps the new operation works, its test passes, and the model is public."""
    model, operation, method, twin, test = BLOCKS
    package = tmp_path / "plivo_endpoints"
    shutil.copytree(ROOT / "plivo_endpoints", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "_models.py").open("a", encoding="utf-8") as models:
        models.write("\n\n" + model)
    endpoints = package / "_resources" / "endpoints.py"
    insert(endpoints, operation, "DELETE: Final")
    insert(endpoints, method + "\n", "    async def find_created(")
    insert(endpoints, twin, "    create: Final = blocking(")
    for path in (endpoints, package / "__init__.py"):
        insert(path, "    Application,\n", "    CreatedEndpoint,\n")
    insert(package / "__init__.py", '    "Application",\n', '    "AsyncClient",\n')
    (tmp_path / "test_application.py").write_text(HEADER + test + BLOCKING, encoding="utf-8")
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    # Without coverage, which would count the copy as more of the package.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "test_application.py"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout

"""The worked example of CONTRIBUTING.md, followed to the letter in a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import plivo_endpoints
from tests.unmeasured import unmeasured

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
MORE_FIELDS = """    sip_port: int | None = None
    sip_loss: float | None = None
    muted: bool | None = None
    seen: datetime | None = None
"""
READING = '''

async def test_fields_added_to_an_endpoint(canned: aioresponses) -> None:
    """Each is read as its type says; what does not fit is kept in `extra`."""
    url = f"https://api.plivo.com/v1/Account/{AUTH_ID}/Endpoint/1/"
    told = {"sip_port": 5060, "sip_loss": 0.5, "muted": "true", "seen": "2022-07-21 19:26:08"}
    odd = {"sip_port": "5060", "sip_loss": "x", "muted": 1, "seen": 5}
    canned.get(url, payload={"endpoint_id": "1", **told})
    canned.get(url, payload={"endpoint_id": "1", **odd})
    async with AsyncClient(AUTH_ID, "token") as client:
        first, second = await client.endpoints.get("1"), await client.endpoints.get("1")
    assert [5060, 0.5, True, 2022] == [first.sip_port, first.sip_loss, first.muted, first.seen.year]
    assert [None] * 4 == [second.sip_port, second.sip_loss, second.muted, second.seen]
    assert odd == second.extra
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
    """After its six steps the new operation works, its test passes, and the model is public.

    What step 1 says of fields added to a model holds too.
    """
    model, operation, method, twin, test = BLOCKS
    package = tmp_path / "plivo_endpoints"
    sources = Path(plivo_endpoints.__file__).parent
    shutil.copytree(sources, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "_models.py").open("a", encoding="utf-8") as models:
        models.write("\n\n" + model)
    insert(package / "_models.py", MORE_FIELDS, "    extra: Mapping")
    endpoints = package / "_resources" / "endpoints.py"
    insert(endpoints, operation, "DELETE: Final")
    insert(endpoints, method + "\n", "    async def find_created(")
    blocking = package / "_resources" / "blocking.py"
    insert(blocking, twin + "\n", "    def delete(self, endpoint_id: str) -> None:")
    insert(
        blocking,
        "    from plivo_endpoints._models import Application\n",
        "    from plivo_endpoints._models import A",
    )
    for path in (endpoints, package / "__init__.py"):
        insert(path, "    Application,\n", "    CreatedEndpoint,\n")
    insert(package / "__init__.py", '    "Application",\n', '    "AsyncClient",\n')
    (tmp_path / "test_application.py").write_text(HEADER + test + BLOCKING + READING, encoding="utf-8")
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    # Without coverage, which would count the copy as more of the package.
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "test_application.py"],
        cwd=tmp_path,
        env={**unmeasured(), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout

"""What those who package programs with this library need is there."""

from __future__ import annotations

import re
import runpy
import tomllib
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

import plivo_endpoints

PACKAGE = Path(plivo_endpoints.__file__).parent
ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def test_pyinstaller_is_told_what_is_no_code() -> None:
    """Each file that is read at run time comes along to its place, and the source that the demo shows."""
    (hooks,) = entry_points(group="pyinstaller40", name="hook-dirs", module="plivo_endpoints.__pyinstaller")
    (folder,) = hooks.load()()
    hook = runpy.run_path(str(Path(folder) / "hook-plivo_endpoints.py"))
    others = {path for path in PACKAGE.rglob("*") if path.suffix not in {"", ".py", ".pyc", ".typed"}}
    brought = {Path(target) / Path(source).name for source, target in hook["datas"]}
    assert {path.relative_to(PACKAGE.parent) for path in others} == brought
    assert [name for name in hook["module_collection_mode"] if find_spec(name) is None] == []


@pytest.mark.skipif(not WORKFLOW.exists(), reason="needs a clone, whose workflows the sdist leaves out")
def test_the_listed_versions_of_python_are_tested() -> None:
    """By the workflows as by nox: all that the classifiers list, from the lowest that is allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    tested, in_nox = (
        re.findall(r"3\.\d+", line)
        for path, start in ((WORKFLOW, r" +python: \["), (ROOT / "noxfile.py", "PYTHONS = "))
        for line in re.findall(f"^{start}.*", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert tested == in_nox
    assert listed == tested[: len(listed)]
    assert f">={listed[0]}" == project["requires-python"]

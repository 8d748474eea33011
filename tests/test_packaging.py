"""What those who package programs with this library need is there."""

from __future__ import annotations

import runpy
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import plivo_endpoints

PACKAGE = Path(plivo_endpoints.__file__).parent


def test_pyinstaller_is_told_what_is_no_code() -> None:
    """Each file that is read at run time comes along to its place, and the source that the demo shows."""
    (hooks,) = entry_points(group="pyinstaller40", name="hook-dirs", module="plivo_endpoints.__pyinstaller")
    (folder,) = hooks.load()()
    hook = runpy.run_path(str(Path(folder) / "hook-plivo_endpoints.py"))
    others = {path for path in PACKAGE.rglob("*") if path.suffix not in {"", ".py", ".pyc", ".typed"}}
    brought = {Path(target) / Path(source).name for source, target in hook["datas"]}
    assert {path.relative_to(PACKAGE.parent) for path in others} == brought
    assert [name for name in hook["module_collection_mode"] if find_spec(name) is None] == []

"""The reference has every public name once, so that links to it have one target."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module
from inspect import getdoc, isclass
from pathlib import Path
from typing import Final

import attrs
import pytest

import plivo_endpoints
from tests.docs.pages import DOCS

PAGES: Final = "\n".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
DOCUMENTED: Final = Counter(re.findall(r"^ *::: ([\w.]+)$", PAGES, re.MULTILINE))


def operations(name: str) -> set[str]:
    """Return the public methods of a class whose methods have entries of their own."""
    return {each for each in dir(getattr(plivo_endpoints, name)) if not each.startswith("_")}


PACKAGE: Final = Path(plivo_endpoints.__file__).parent
PUBLIC: Final = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if "\n__all__ = " in path.read_text("utf-8")
]
NAMESPACES: Final = {
    **{name: set(import_module(name).__all__) - {"__version__"} for name in PUBLIC},
    **{
        f"plivo_endpoints.{name}": operations(name)
        for name in ("AsyncEndpoints", "Endpoints", "AsyncTokens", "Tokens")
    },
    "pytest_plivo_endpoints": {
        "plivo_blocking_client",
        "plivo_client",
        "plivo_sandbox",
        "plivo_sandbox_server",
    },
}


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_each_public_name_is_documented_once(namespace: str) -> None:
    """Each but the version, which needs no description."""
    counts = {name: DOCUMENTED[f"{namespace}.{name}"] for name in sorted(NAMESPACES[namespace])}
    assert {} == {name: count for name, count in counts.items() if count != 1}


def test_each_field_is_described() -> None:
    """Those that a public attrs class has itself, in its docstring."""
    public = [
        getattr(import_module(namespace), name) for namespace in PUBLIC for name in NAMESPACES[namespace]
    ]
    missing = [
        f"{each.__qualname__}.{attribute.name}"
        for each in public
        if isclass(each) and attrs.has(each)
        for attribute in attrs.fields(each)
        if not attribute.inherited and f"\n    {attribute.name}:" not in (getdoc(each) or "")
    ]
    assert [] == [name for name in missing if "._" not in name]

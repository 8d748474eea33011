"""Imports run one way, a fresh import stays light, and modules and functions stay short."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import plivo_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = "plivo_endpoints"
PACKAGE: Final = Path(plivo_endpoints.__file__).parent

_BASE: Final = {"_clock", "_errors", "_validation", "_config", "_models", "_request_models", "_version"}
# What each part may import when it runs, beside itself; imports for type checkers alone are free.
ALLOWED: Final = {
    "_version": set[str](),
    "_clock": set[str](),
    "_errors": {"_clock"},
    "_validation": {"_errors"},
    "_config": {"_errors", "_validation"},
    "_models": set[str](),
    "_request_models": {"_clock", "_errors", "_validation"},
    "_events": {"_errors"},
    "_sansio": {"_errors", "_validation", "_config", "_models", "_request_models"},
    "_request_body": {"_clock", "_sansio"},
    "_transport": {"_clock", "_errors", "_sansio", "_request_body", "_threads", "_version"},
    "_deadlines": set[str](),
    "_shared_window": {"_clock", "_errors", "_events", "_sansio"},
    "_postgres": {"_config", "_errors"},
    "_shared_rate_limit": {"_clock", "_config", "_errors", "_sansio", "_validation"},
    "_postgres_rate_limit": {
        "_clock",
        "_config",
        "_errors",
        "_postgres",
        "_sansio",
        "_threads",
        "_validation",
    },
    "_middleware": {"_clock", "_errors", "_deadlines", "_request_models", "_sansio"},
    "_pagination": {"_errors", "_models"},
    "_threads": set[str](),
    "_runner": {"_errors", "_threads"},
    "_token_cache": {"_clock", "_errors", "_events"},
    "_connections": {
        "_config",
        "_errors",
        "_events",
        "_sansio",
        "_middleware",
        "_shared_window",
        "_token_cache",
        "_transport",
    },
    "_resources": {"_models", "_request_models", "_sansio", "_pagination", "_token_cache", *_BASE},
    "_wiring": {
        "_config",
        "_connections",
        "_errors",
        "_postgres",
        "_postgres_rate_limit",
        "_shared_rate_limit",
        "_validation",
    },
    "_client": {"_config", "_connections", "_resources", "_runner", "_validation", "_wiring"},
    "sandbox": set[str](),
    "token_service": {"_client", *_BASE},
    "opentelemetry": {"_events", "_version"},
    "provisioning": {
        "_client",
        "_events",
        "_postgres",
        "_postgres_rate_limit",
        "_resources",
        "_sansio",
        *_BASE,
    },
    "cli": {
        "_client",
        "_events",
        "_postgres",
        "_postgres_rate_limit",
        "_sansio",
        "_shared_rate_limit",
        "provisioning",
        "sandbox",
        *_BASE,
    },
    "__main__": {"cli"},
    "__init__": {"_client", "_events", "_resources", *_BASE},
}


def module_name(path: Path) -> str:
    """Return a file's dotted name within the package; `__init__` for the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


TREES: Final = {
    module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but for what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from running_nodes(child)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Return the dotted names that a module imports, what it takes from a module included."""
    for node in running_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(tree: ast.AST) -> set[str]:
    """Return the modules of this package that a module imports: the longest that there are of each name."""
    found: set[str] = set()
    for name in imported_names(tree):
        if name.split(".")[0] == ROOT:
            below = name.split(".")[1:]
            known = [".".join(below[:length]) for length in range(len(below), 0, -1)]
            found.add(next((each for each in known if each in TREES), "__init__"))
    return found


IMPORTS: Final = {name: own_imports(tree) for name, tree in TREES.items()}


def test_imports_run_one_way() -> None:
    """Each part imports only what stands below it."""
    broken = [
        f"{name} imports {imported}"
        for name, all_imported in IMPORTS.items()
        for imported in sorted(all_imported)
        if (part := name.split(".")[0]) != imported.split(".")[0]
        and imported.split(".")[0] not in ALLOWED[part]
    ]
    assert broken == []


def test_nothing_imports_the_package_root() -> None:
    """The root imports them all: that way lie cycles."""
    assert [name for name, imported in IMPORTS.items() if "__init__" in imported] == []


def test_no_cycles() -> None:
    """There is an order in which all modules can be imported."""
    order = list(TopologicalSorter(IMPORTS).static_order())
    assert set(order) == set(TREES)


def test_only_the_transport_knows_aiohttp() -> None:
    """Of the client's modules; the sandbox is a server of its own."""
    users = {
        name
        for name, tree in TREES.items()
        if any(imported.split(".")[0] == "aiohttp" for imported in imported_names(tree))
        and not name.startswith("sandbox")
    }
    assert users == {"_transport", "_request_body", "_wiring", "token_service._aiohttp"}


@pytest.mark.parametrize("client", ["AsyncClient", "Client"])
def test_aiohttp_comes_with_the_first_client(client: str) -> None:
    """Not with the package, which may only be asked for its errors, and not in the loop of the first call."""
    source = f"""
import sys
from plivo_endpoints import {client}
assert "aiohttp" not in sys.modules
{client}("MA0123456789ABCDEFGH", "token")
assert "aiohttp" in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True)  # noqa: S603


def test_the_protocol_does_no_input_or_output() -> None:
    """Below `_sansio`: no await, and no module with clocks, chance or sockets."""
    forbidden = {"asyncio", "anyio", "aiohttp", "socket", "ssl", "time", "random", "secrets"}
    found = [
        f"{name}: {what}"
        for name, tree in TREES.items()
        if name.split(".")[0] == "_sansio"
        for what in (
            *(each for each in imported_names(tree) if each.split(".")[0] in forbidden),
            *(type(node).__name__ for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFor)),
        )
    ]
    assert found == []


def test_a_fresh_import_is_light() -> None:
    """What only some need waits until they do."""
    heavy = (
        "aiohttp",
        "click",
        "opentelemetry",
        "psycopg",
        "rich",
        "sqlite3",
        f"{ROOT}.sandbox",
        f"{ROOT}.provisioning",
    )
    # What was there before is the interpreter's own, or coverage's.
    code = f"import sys; before = set(sys.modules); import {ROOT}; print(*set(sys.modules) - before)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    loaded = ended.stdout.split()
    assert ROOT in loaded
    assert [name for name in heavy if name in loaded] == []


def test_a_token_service_is_light() -> None:
    """It imports no provisioning, database or command line."""
    heavy = ("click", "psycopg", "sqlite3", f"{ROOT}.cli", f"{ROOT}.provisioning", f"{ROOT}.sandbox")
    source = f"""
import sys
before = set(sys.modules)
from {ROOT}.token_service import asgi_app, aiohttp_handler
from {ROOT} import AsyncClient
aiohttp_handler(AsyncClient("MA0123456789ABCDEFGH", "token"), print)
print(*set(sys.modules) - before)
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)  # noqa: S603
    loaded = ended.stdout.split()
    assert f"{ROOT}.token_service" in loaded
    assert [name for name in heavy if name in loaded] == []


def test_modules_are_short() -> None:
    """At most 400 lines each."""
    lengths = {path.name: path.read_text(encoding="utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_functions_are_short() -> None:
    """None over 40 lines, half of them under 10; a docstring may take what it needs."""
    lengths = {
        f"{name}:{node.lineno} {node.name}": code_lines(node)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 40} == {}
    assert statistics.median(lengths.values()) < 10

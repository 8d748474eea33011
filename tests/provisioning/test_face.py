"""The public interface of provisioning: everything that library users need, and nothing of the commands."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from plivo_endpoints import provisioning

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK = {"AsyncFleet", "Fleet", "load_plan", "save_plan"}
INPUT = {"CsvSource", "JsonlSource", "Problem", "Row", "RowSource", "Source"}
RESULTS = {
    *{"BlockingRun", "Change", "Duplicate", "Outcome", "Phase", "Plan", "Permission", "Progress", "Report"},
    *{"Run", "SipCredentials", "Status", "Step", "StepKind", "Steps"},
}
STATES = {
    *{"Clash", "Entry", "EntryStore", "FleetState", "PostgresState", "RowState", "Spec"},
    *{"SqliteState", "Transition", "Worker"},
}
ERRORS = {
    *{"CanaryError", "DeletionLimitError", "OutageError", "ProvisioningError", "RefusedError"},
    *{"SourceError", "StaleError", "StateError"},
}


def own_names() -> set[str]:
    """Return what the modules of provisioning define that can be a type: classes and aliases."""
    found: set[str] = set()
    for path in Path(provisioning.__path__[0]).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign) and not ast.unparse(node.value).startswith("TypeVar"):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def annotations_of(thing: object) -> Iterator[str]:
    """Return the annotations that a user of a function or class meets, as they are written."""
    if isinstance(thing, property):
        thing = thing.fget
    if inspect.isclass(thing):
        for kind in thing.__mro__:
            yield from (str(each) for name, each in inspect.get_annotations(kind).items() if name[0] != "_")
            for name, member in vars(kind).items():
                if name[0] != "_" or name in {"__iter__", "__aiter__"}:
                    yield from annotations_of(member)
    elif inspect.isfunction(thing):
        yield from map(str, inspect.get_annotations(inspect.unwrap(thing)).values())


def test_what_is_exported() -> None:
    """Every export is intended."""
    assert set(provisioning.__all__) == WORK | INPUT | RESULTS | STATES | ERRORS
    assert [name for name in provisioning.__all__ if not hasattr(provisioning, name)] == []


def test_every_type_of_a_signature_is_exported() -> None:
    """Callers can name the types of all arguments and results."""
    met = {
        (name, word)
        for name in provisioning.__all__
        for annotation in annotations_of(getattr(provisioning, name))
        for word in re.findall(r"[A-Za-z]\w*", annotation)
    }
    assert len(met) > 50
    own = own_names()
    assert {each for each in met if each[1] in own and each[1] not in provisioning.__all__} == set()

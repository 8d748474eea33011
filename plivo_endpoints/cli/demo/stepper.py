"""Runs a function statement by statement, and shows each statement with its result."""

from __future__ import annotations

import ast
import inspect
import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from plivo_endpoints._errors import PlivoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from types import CodeType


class Stage(Protocol):
    """Where a walkthrough is shown."""

    def code(self, source: str) -> None:
        """Show a statement that is about to run."""
        ...

    def value(self, value: object) -> None:
        """Show the statement's value."""
        ...

    def error(self, error: PlivoError) -> None:
        """Show the error that it raised."""
        ...


@frozen
class Step:
    """One statement: its source with the comments before it, and its compiled code."""

    source: str
    code: CodeType
    target: str  # the name that its value is assigned to

    def begin(self, names: dict[str, Any]) -> Awaitable[None] | None:
        """Run it; if it is async, return the rest to await."""
        pending: Awaitable[None] | None = eval(self.code, names)  # noqa: S307 - this package's own source
        return pending


def read_steps(function: Callable[..., object]) -> Iterator[Step]:
    """Yield the statements of a function, without its docstring."""
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    filename = inspect.getfile(function)
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)  # noqa: S101 - for the type checker
    shown = definition.body[0].end_lineno or 0
    for statement in definition.body[1:]:
        end = statement.end_lineno or 0
        text = textwrap.dedent("\n".join(source.splitlines()[shown:end])).strip()
        assignment = _as_assignment(statement)
        module = ast.Module([ast.increment_lineno(assignment, first - 1)], type_ignores=[])
        code = compile(module, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        yield Step(text, code, ast.unparse(assignment.targets[0]))
        shown = end


def _as_assignment(statement: ast.stmt) -> ast.Assign:
    if isinstance(statement, ast.Expr):
        target = ast.Name("_", ctx=ast.Store())
        made = ast.Assign([target], statement.value)
        return ast.fix_missing_locations(ast.copy_location(made, statement))
    if isinstance(statement, ast.Assign):
        return statement
    raise TypeError("a walkthrough can contain only assignments and expressions")


@contextmanager
def _showing(stage: Stage, step: Step, names: dict[str, Any], *, fails: bool) -> Generator[None]:
    stage.code(step.source)
    try:
        yield
    except PlivoError as error:
        if not fails:
            raise
        stage.error(error)
    else:
        stage.value(names[step.target])


def walk(function: Callable[..., object], stage: Stage, *, fails: bool = False, **arguments: object) -> None:
    """Run a function's statements; `fails` if its errors are to be shown and not raised."""
    names = {**function.__globals__, **arguments}
    for step in read_steps(function):
        with _showing(stage, step, names, fails=fails):
            step.begin(names)


async def walk_async(function: Callable[..., Awaitable[object]], stage: Stage, **arguments: object) -> None:
    """Run an async function's statements."""
    names = {**function.__globals__, **arguments}
    for step in read_steps(function):
        with _showing(stage, step, names, fails=False):
            pending = step.begin(names)
            if pending is not None:
                await pending

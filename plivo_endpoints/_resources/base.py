"""The base classes of resources, async and blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from plivo_endpoints._connections import Executor
    from plivo_endpoints._runner import Runner

A = TypeVar("A")


class AsyncResource:
    """A group of operations on one client."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor


class BlockingResource(Generic[A]):
    """The blocking counterpart of an async resource."""

    def __init__(self, resource: A, runner: Runner) -> None:
        self._async = resource
        self._runner = runner
        self._run: Final = runner.run

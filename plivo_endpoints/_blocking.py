"""The blocking twins of the async resources: same names, arguments and results; only async and await go."""

from __future__ import annotations

import inspect
import warnings
from contextlib import suppress
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from plivo_endpoints._errors import ClientStateError, ListChangedWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from plivo_endpoints._models import Page
    from plivo_endpoints._pagination import AsyncPaginator
    from plivo_endpoints._runner import Runner

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class BlockingResource(Generic[A]):
    """The blocking twin of a resource of the async client."""

    def __init__(self, resource: A, runner: Runner) -> None:
        self._resource = resource
        self._runner = runner


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingResource[A], P], R]:
    """Return the blocking twin of an async method: same arguments, same result, same docstring."""

    def call(self: BlockingResource[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        runner, resource = self._runner, self._resource  # pyright: ignore[reportPrivateUsage] - its own method
        return runner.run(lambda: method(resource, *args, **kwargs))

    return update_wrapper(call, method)


def blocking_pages(
    method: Callable[Concatenate[A, P], AsyncPaginator[T]],
) -> Callable[Concatenate[BlockingResource[A], P], Paginator[T]]:
    """Return the blocking twin of a method that returns a paginator."""

    def call(self: BlockingResource[A], /, *args: P.args, **kwargs: P.kwargs) -> Paginator[T]:
        runner, resource = self._runner, self._resource  # pyright: ignore[reportPrivateUsage] - its own method
        return Paginator(method(resource, *args, **kwargs), runner)

    signature = inspect.signature(method).replace(return_annotation=Paginator)
    call.__signature__ = signature  # type: ignore[attr-defined]  # or help() would promise an AsyncPaginator
    return update_wrapper(call, method)


class Paginator(Generic[T]):
    """Every object of a list, page after page, fetched while you iterate.

    Each iteration is a walk of its own. Leaving one early stops its requests.
    """

    def __init__(self, pages: AsyncPaginator[T], runner: Runner) -> None:
        self._pages = pages
        self._runner = runner

    def __iter__(self) -> Generator[T]:
        for page in self._walk(stacklevel=3):
            yield from page.objects

    def pages(self) -> Generator[Page[T]]:
        """Return the pages instead of the objects on them, repeated objects left out."""
        return self._walk(stacklevel=2)

    def _walk(self, *, stacklevel: int) -> Generator[Page[T]]:
        reasons: list[str] = []
        walk = self._pages._pages(reasons.append)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        try:
            while (page := self._runner.run(lambda: anext(walk, None))) is not None:
                yield page
        finally:
            # A closed client's loop has closed the walk already.
            with suppress(ClientStateError):
                self._runner.run(walk.aclose)
        for reason in reasons:
            warnings.warn(reason, ListChangedWarning, stacklevel=stacklevel)

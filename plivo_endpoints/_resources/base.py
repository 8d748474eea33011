"""What every async resource stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from plivo_endpoints._requests import RequestModel
    from plivo_endpoints._sansio.operation import Operation

T = TypeVar("T")


class Executor(Protocol):
    """Carries out operations for one account."""

    @property
    def auth_id(self) -> str:
        """The account's id."""
        ...

    def execute(
        self,
        operation: Operation[T],
        argument: RequestModel | None = None,
        *,
        query: Mapping[str, int | str] | None = None,
        before_send: Callable[[], Awaitable[None]] | None = None,
        **ids: str,
    ) -> Coroutine[Any, Any, T]:
        """Send one operation, as often as its rules allow, and return its result.

        Args:
            operation: Which.
            argument: What it asks for.
            query: What goes into the URL after the path.
            before_send: Awaited in every attempt once all else is ready; where it raises, nothing leaves.
            ids: What fills the operation's path.
        """
        ...


class AsyncResource:
    """A group of operations on one client."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

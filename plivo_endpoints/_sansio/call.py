"""A call: an operation with its request, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._config import CallOptions
    from plivo_endpoints._requests import RequestModel
    from plivo_endpoints._sansio.messages import Request
    from plivo_endpoints._sansio.operation import Operation

T = TypeVar("T")


@define  # not frozen, for the same reason as `Request`
class Call(Generic[T]):
    """What the retry loop works on, over as many attempts as it takes."""

    operation: Operation[T]
    request: Request
    argument: RequestModel | None
    options: CallOptions
    before_send: Callable[[], Awaitable[None]] | None = None
    known_secrets: Callable[[], tuple[str, ...]] = tuple  # those of the client

    def secrets(self) -> tuple[str, ...]:
        """Return what no error may repeat, though the server may have: it can echo what it was sent."""
        return (*(() if self.argument is None else self.argument.secrets()), *self.known_secrets())

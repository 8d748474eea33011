"""A call: an operation with its request, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._config import CallOptions
    from plivo_endpoints._models import EndpointChanges, NewEndpoint, NewToken
    from plivo_endpoints._sansio.messages import Request
    from plivo_endpoints._sansio.operation import Operation

T = TypeVar("T")


@frozen(slots=False)
class Call(Generic[T]):
    """What the retry loop works on, over as many attempts as it takes."""

    operation: Operation[T]
    request: Request
    argument: NewEndpoint | EndpointChanges | NewToken | None
    options: CallOptions
    before_send: Callable[[], Awaitable[None]] | None = None

"""An operation and a call of it; what goes out and what comes back; and the notes of one attempt at it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._config import CallOptions
    from plivo_endpoints._errors import Phase
    from plivo_endpoints._requests import RequestModel


# Nobody changes these two, but they are made for every call, and to make what is frozen takes twice as long.
@define
class Request:
    """One request, ready but for its headers, which carry the credentials and are added at send time."""

    method: str
    url: str
    path: str  # the template: what logs and errors may show
    operation: str = ""  # its name
    body: bytes | None = field(default=None, repr=False)  # may hold a SIP password


@define
class Response:
    """One answer, read whole or up to the size limit."""

    status: int
    body: bytes = field(repr=False)  # may hold a token
    complete: bool = True
    retry_after: float | None = None
    encoding: str | None = None  # how the body is still compressed, where it could not be decompressed


@define(eq=False)
class Attempt:
    """What is known about one attempt while it runs: the transport writes it, the retry rules read it."""

    number: int = 1  # within its call
    send_by: float = math.inf  # monotonic seconds: what has not left by then stays
    must_not_repeat: bool = False
    is_harmless: bool = False  # whether it ended, and surely nothing was carried out
    waited: float = 0.0  # seconds, before it started
    started_at: float | None = None  # monotonic seconds, once the rate limit let it through
    phase: Phase = "connect"
    sent: bool = False  # whether a byte may have left
    sent_at: float = 0.0  # epoch seconds, once `sent`
    sent_monotonic: float | None = None  # the same moment in monotonic seconds
    left_at: float | None = None  # monotonic seconds by when the request had surely left, where known
    before_send: Callable[[], Awaitable[None]] | None = None  # awaited with the connection in hand
    before_send_error: BaseException | None = None  # what `before_send` raised: the request must not leave
    replays: int = 0  # times the HTTP library sent it again by itself
    status: int | None = None


T = TypeVar("T")


@frozen
class Operation(Generic[T]):
    """One row of Plivo's API.

    Attributes:
        name: What events call it: resource and method, such as "endpoints.create".
        method: HTTP method.
        path: Template below the account; ends in a slash, as every path of Plivo's does.
        returns: What a success decodes to.
        repeatable: Whether a request whose answer is lost may be sent again. It has no default: create and
            update are both POST, and this is the most important fact of either.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    returns: type[T]
    repeatable: bool


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

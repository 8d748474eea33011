"""Operations, calls, requests, responses, and the state of an attempt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plivo_endpoints._config import CallOptions, Priority
    from plivo_endpoints._errors import Phase
    from plivo_endpoints._request_models import RequestModel


# These two never change, but one is made for every call, and a frozen class takes twice as long to create.
@define
class Request:
    """A request without its headers, which carry the credentials and are added at send time."""

    method: str
    url: str
    path: str  # the template: what logs and errors may show
    operation: str = ""  # its name
    body: bytes | None = field(default=None, repr=False)  # may hold a SIP password


@define
class Response:
    """A response, read completely or up to the size limit."""

    status: int
    body: bytes = field(repr=False)  # may hold a token
    complete: bool = True
    retry_after: float | None = None
    encoding: str | None = None  # how the body is still compressed, where it could not be decompressed


@define(eq=False)
class Attempt:
    """The state of one attempt: the transport writes it, the retry rules read it."""

    number: int = 1  # within its call
    send_by: float = math.inf  # monotonic seconds; what was not sent by then is not sent
    must_not_repeat: bool = False
    priority: Priority = "interactive"
    is_harmless: bool = False  # whether it ended and certainly nothing was carried out
    waited: float = 0.0  # seconds, before it started
    started_at: float | None = None  # monotonic seconds, once the rate limit let it through
    phase: Phase = "connect"
    sent: bool = False  # whether a byte may have been sent
    sent_at: float = 0.0  # epoch seconds, once `sent`
    sent_monotonic: float | None = None  # the same moment in monotonic seconds
    left_at: float | None = None  # monotonic seconds when all of it was certainly sent, if known
    before_send: Callable[[], Awaitable[float]] | None = None  # awaited once there is a connection
    before_send_error: BaseException | None = None  # what `before_send` raised: the request must not leave
    replays: int = 0  # times the HTTP library sent it again by itself
    status: int | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether it may have been carried out."""
        return self.sent and not self.is_harmless


T = TypeVar("T")


@frozen
class Operation(Generic[T]):
    """One row of Plivo's API.

    Attributes:
        name: Its name in events: resource and method, such as "endpoints.create".
        method: HTTP method.
        path: Template below the account; ends in a slash, as all of Plivo's paths do.
        returns: The type that a success decodes to.
        repeatable: Whether a request whose response is lost may be sent again. It has no default: create and
            update are both POST, and this is the most important fact of either.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    returns: type[T]
    repeatable: bool


@define  # not frozen, for the same reason as `Request`
class Call(Generic[T]):
    """A call of an operation, which may take several attempts."""

    operation: Operation[T]
    request: Request
    argument: RequestModel | None
    options: CallOptions
    before_send: Callable[[], Awaitable[float]] | None = None
    known_secrets: Callable[[], tuple[str, ...]] = tuple  # those of the client

    def secrets(self) -> tuple[str, ...]:
        """Return what errors must redact, since a server can echo what it was sent."""
        return (*(() if self.argument is None else self.argument.secrets()), *self.known_secrets())

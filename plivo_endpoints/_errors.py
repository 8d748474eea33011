"""The exception hierarchy.

```
PlivoError
├── InvalidArgumentError (ValueError)   an argument is invalid; nothing was sent
├── TransportError                      the network failed; .sent is "no" or "unknown"
│   ├── ConnectError                    never sent
│   └── RequestTimeoutError             .phase says what took too long
├── AmbiguousOutcomeError               sent, must not be repeated, and the response is lost
│   └── OutcomeUnknownError             an endpoint may have been created
├── APIError                            an error status; itself for 3xx, 405 and unlisted 4xx
│   ├── BadRequestError                 400, 422
│   ├── AuthenticationError             401
│   ├── ForbiddenError                  403
│   ├── NotFoundError                   404
│   ├── ConflictError                   409
│   ├── RateLimitedError                429
│   └── ServerError                     5xx
├── ResponseDecodeError                 a success whose body is unreadable
├── NotRegisteredError (TimeoutError)   no phone registered with the endpoint in time
├── RateLimitStoreError                 a shared rate limit cannot be used; clients handle it themselves
└── ClientStateError (RuntimeError)     the client is closed, or cannot be used from here
```

All of them can be pickled and copied with type, message and attributes. None carries a request object, a
header, a password or a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict, Unpack

from plivo_endpoints._clock import CLOCK

if TYPE_CHECKING:
    from datetime import datetime

Sent = Literal["no", "unknown"]
Phase = Literal["rate limit", "connect", "response"]
_DOING: Final[dict[str, str]] = {
    "connect": "connecting",
    "response": "waiting for the response",
}


class PlivoError(Exception):
    """Base class of all errors that this library raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException would call the class with `args` alone and miss the keyword-only attributes.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[PlivoError], args: tuple[object, ...], state: dict[str, object]) -> PlivoError:
    error = cls.__new__(cls, *args)
    error.args = args  # subclasses of OSError, as TimeoutError is, do not set it in `__new__`
    error.__dict__.update(state)
    return error


class InvalidArgumentError(PlivoError, ValueError):
    """An argument is invalid; nothing was sent.

    Attributes:
        field: The argument's name.
        rule: The rule that it breaks. Never contains the value, which may be a secret.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class ClientStateError(PlivoError, RuntimeError):
    """The client cannot be used any more, or not from here.

    It is closed, or was used before a fork; its event loop cannot start, or made the call itself; the
    caller's session is closed, or belongs to another loop; or the interpreter is shutting down.
    """


NO_FORK: Final = "a client used before a fork cannot be used in the child process: create a new one there"


class RateLimitStoreError(PlivoError):
    """A rate limit that several processes share cannot be used now; see `RateLimitStore`."""


class CallError(PlivoError):
    """Base class of the errors of a call. It is not public, so the tree above leaves it out.

    Attributes:
        method: HTTP method.
        path: Path template below the account, such as `Endpoint/{endpoint_id}/`.
        attempts: Number of attempts made.
    """

    def __init__(self, message: str, *, method: str, path: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.attempts = attempts


class TransportError(CallError):
    """No usable response came back over the network.

    Attributes:
        sent: "no" if Plivo cannot have carried out any attempt, "unknown" if it may have received one.
    """

    def __init__(self, message: str, *, method: str, path: str, sent: Sent, attempts: int = 1) -> None:
        super().__init__(message, method=method, path=path, attempts=attempts)
        self.sent: Sent = sent


class ConnectError(TransportError):
    """The request was never sent: name lookup, connecting or TLS failed, or the connection was closed."""

    def __init__(self, message: str, *, method: str, path: str, attempts: int = 1) -> None:
        super().__init__(message, method=method, path=path, sent="no", attempts=attempts)


class RequestTimeoutError(TransportError):
    """The call timed out, or too little of its timeout is left to send it.

    A create that could not be sent within the first half of its timeout is not sent at all: with less time
    left for the response than it has waited, its outcome would likely be unknown.

    Attributes:
        timeout: The timeout in seconds.
        phase: What the call was waiting for: the "rate limit", to "connect" (including the wait for a free
            connection), or the "response".
    """

    def __init__(
        self, *, timeout: float, phase: Phase, method: str, path: str, sent: Sent, attempts: int
    ) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        message = f"{method} {path} timed out while {_DOING.get(phase)} (timeout {timeout:g} s, {tries})"
        if phase == "rate limit":  # the call fails at once if the wait would be too long
            message = f"{method} {path} was not sent: the rate limit leaves no time (timeout {timeout:g} s)"
        super().__init__(message, method=method, path=path, sent=sent, attempts=attempts)
        self.timeout = timeout
        self.phase: Phase = phase


class OutcomeFacts(TypedDict):
    """What is known about a request whose response was lost."""

    sent_at: datetime
    sent_monotonic: NotRequired[float | None]
    status: int | None
    api_id: str | None
    reason: str
    attempts: int


class AmbiguousOutcomeError(CallError):
    """A request that must not be repeated was sent, and its response is lost or unreadable.

    Creating an endpoint raises the subclass `OutcomeUnknownError`.

    Attributes:
        sent_at: When the request was sent, as an aware UTC datetime.
        status: HTTP status, if a response came.
        api_id: Plivo's id of the request, if the response had one; Plivo's support asks for it.
        reason: Why there is no usable response.
        attempts: Number of attempts made; only the last can have been carried out.
    """

    def __init__(self, message: str, *, method: str, path: str, **facts: Unpack[OutcomeFacts]) -> None:
        super().__init__(message, method=method, path=path, attempts=facts["attempts"])
        self.sent_at: datetime = facts["sent_at"]
        self.status: int | None = facts["status"]
        self.api_id: str | None = facts["api_id"]
        self.reason: str = facts["reason"]
        self._sent_monotonic = facts.get("sent_monotonic")

    @property
    def elapsed(self) -> float | None:
        """Seconds since the request was sent, unaffected by changes to the system clock.

        `None` in an error that was copied or unpickled: another process cannot know it.
        """
        return None if self._sent_monotonic is None else CLOCK.monotonic() - self._sent_monotonic

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (cls, args, state) = super().__reduce__()
        return restore, (cls, args, {**state, "_sent_monotonic": None})


class OutcomeUnknownError(AmbiguousOutcomeError):
    """A create was sent, and its response is lost or unreadable: the endpoint may exist.

    It was not retried and must not be repeated: Plivo has no idempotency key and would create a second
    endpoint. To find out, call
    `client.endpoints.find_created(username=…, alias=…, sent_at=…, elapsed=…)`.

    Attributes:
        username: The requested username; Plivo appends digits to it.
        alias: The requested alias.
        endpoint_id: The new endpoint's id, if the response still contained it.
    """

    def __init__(
        self, *, username: str, alias: str, endpoint_id: str | None, **facts: Unpack[OutcomeFacts]
    ) -> None:
        message = (
            f"create of endpoint {username!r}, alias {alias!r}, was sent at "
            f"{facts['sent_at'].isoformat(timespec='milliseconds')}, but its outcome is unknown "
            f"({facts['reason']}); do not repeat it, call endpoints.find_created"
        )
        super().__init__(message, method="POST", path="Endpoint/", **facts)
        self.username = username
        self.alias = alias
        self.endpoint_id = endpoint_id


class APIError(CallError):
    """Plivo, or a proxy in front of it, answered with a status that is not a success.

    Attributes:
        status: HTTP status.
        api_id: Plivo's id of the request, if the response had one; Plivo's support asks for it.
        message: The error text in the body, at most 200 characters, control characters escaped.
        retry_after: Seconds to wait, from the Retry-After header, if there was one.
    """

    def __init__(  # every fact of the response, by name
        self,
        message: str,
        *,
        status: int,
        api_id: str | None,
        method: str,
        path: str,
        attempts: int = 1,
        retry_after: float | None = None,
    ) -> None:
        suffix = f" (api_id {api_id})" if api_id else ""
        text = f"{method} {path} answered {status}: {message or 'no text'}{suffix}"
        super().__init__(text, method=method, path=path, attempts=attempts)
        self.status = status
        self.api_id = api_id
        self.message = message
        self.retry_after = retry_after


class BadRequestError(APIError):
    """400 or 422: Plivo rejects the arguments; `message` says which."""


class AuthenticationError(APIError):
    """401: the auth id and auth token do not match."""


class ForbiddenError(APIError):
    """403: these credentials may not do this."""


class NotFoundError(APIError):
    """404: the endpoint does not exist, or no longer does."""


class ConflictError(APIError):
    """409: the request conflicts with the account's state."""


class RateLimitedError(APIError):
    """429: the account's quota is used up, and the call could not wait for it."""


class ServerError(APIError):
    """5xx: Plivo, or a proxy in front of it, failed."""


class ResponseDecodeError(CallError):
    """A success status came with an unreadable body.

    Attributes:
        status: HTTP status.
        endpoint_id: The new endpoint's id, if the response to a create contained a readable one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        method: str,
        path: str,
        attempts: int = 1,
        endpoint_id: str | None = None,
    ) -> None:
        super().__init__(
            f"{method} {path} answered {status}, but {message}", method=method, path=path, attempts=attempts
        )
        self.status = status
        self.endpoint_id = endpoint_id


class NotRegisteredError(PlivoError, TimeoutError):
    """No phone registered with an endpoint in the time that `wait_registered` was given.

    Attributes:
        endpoint_id: The endpoint's id.
        timeout: The time in seconds.
    """

    def __init__(self, endpoint_id: str, *, timeout: float) -> None:
        super().__init__(f"no phone registered with endpoint {endpoint_id} within {timeout:g} s")
        self.endpoint_id = endpoint_id
        self.timeout = timeout


class ListChangedWarning(UserWarning):
    """The account changed while its endpoints were listed, or the list ended early: some may be missing."""

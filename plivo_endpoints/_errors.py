"""What can go wrong, by whose fault.

```
PlivoError
├── InvalidArgumentError (ValueError)   yours, before sending
├── TransportError                      the network; .sent says "no" or "unknown"
│   ├── ConnectError                    never sent
│   └── RequestTimeoutError             .phase says what ate the time
├── AmbiguousOutcomeError               sent, must not be repeated, and the answer is lost
│   └── OutcomeUnknownError             a create of an endpoint that may have happened
├── APIError                            Plivo said no; also 3xx, 405 and unlisted 4xx
│   ├── BadRequestError                 400, 422
│   ├── AuthenticationError             401
│   ├── ForbiddenError                  403
│   ├── NotFoundError                   404
│   ├── ConflictError                   409
│   ├── RateLimitedError                429
│   └── ServerError                     5xx
├── ResponseDecodeError                 Plivo said something unreadable
└── ClientStateError (RuntimeError)     the client cannot be used, or not from here
```

Every one of them pickles and copies with its type, message and attributes, and none carries a request
object, a header, a password or a token.
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
    """Base of every error that this library raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException would call the class with `args` alone and miss the keyword-only attributes.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[PlivoError], args: tuple[object, ...], state: dict[str, object]) -> PlivoError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class InvalidArgumentError(PlivoError, ValueError):
    """An argument breaks a rule; nothing was sent.

    Attributes:
        field: The argument's name.
        rule: What it must be. Never the value itself: it may be a secret.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class ClientStateError(PlivoError, RuntimeError):
    """The client cannot be used any more, or not from here.

    It is closed, or was used before a fork; its event loop cannot start, or is the one that calls; the
    caller's session is closed, or of another loop; or the interpreter is shutting down.
    """


NO_FORK: Final = "a client that was used does not survive fork: make one in the child process"


class CallError(PlivoError):
    """What every error of a call knows; the tree above leaves this base out, and so does the public face.

    Attributes:
        method: HTTP method.
        path: Path template below the account, such as `Endpoint/{endpoint_id}/`.
        attempts: How many times the call was tried.
    """

    def __init__(self, message: str, *, method: str, path: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.attempts = attempts


class TransportError(CallError):
    """No usable answer came back over the network.

    Attributes:
        sent: "no" when no attempt that may have been carried out has left this process, "unknown" when Plivo
            may have received one.
    """

    def __init__(self, message: str, *, method: str, path: str, sent: Sent, attempts: int = 1) -> None:
        super().__init__(message, method=method, path=path, attempts=attempts)
        self.sent: Sent = sent


class ConnectError(TransportError):
    """The request never left: name lookup, connection or TLS failed, or a pooled connection was gone."""

    def __init__(self, message: str, *, method: str, path: str, attempts: int = 1) -> None:
        super().__init__(message, method=method, path=path, sent="no", attempts=attempts)


class RequestTimeoutError(TransportError):
    """The call's one timeout ran out, or what is left of it is too little to begin.

    A create that could not be sent within the first half of its timeout is not sent any more: with less time
    for the answer than it waited, it would likely end with an unknown outcome.

    Attributes:
        timeout: The timeout in seconds.
        phase: Where the call was when it did: waiting for the "rate limit", to "connect" (the wait for a
            free connection included), or for the "response".
    """

    def __init__(
        self, *, timeout: float, phase: Phase, method: str, path: str, sent: Sent, attempts: int
    ) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        message = f"{method} {path} timed out while {_DOING.get(phase)} (timeout {timeout:g} s, {tries})"
        if phase == "rate limit":  # which is not waited for where that would take too long
            message = f"{method} {path} was not sent: the rate limit leaves no time (timeout {timeout:g} s)"
        super().__init__(message, method=method, path=path, sent=sent, attempts=attempts)
        self.timeout = timeout
        self.phase: Phase = phase


class OutcomeFacts(TypedDict):
    """What is known about a request whose answer was lost."""

    sent_at: datetime
    sent_monotonic: NotRequired[float | None]
    status: int | None
    api_id: str | None
    reason: str
    attempts: int


class AmbiguousOutcomeError(CallError):
    """A request that must not be repeated was sent, and its answer is lost or unreadable.

    The base of `OutcomeUnknownError`, which is what a create of an endpoint raises.

    Attributes:
        sent_at: When the request left, as an aware UTC time.
        status: The answer's HTTP status, if one came.
        api_id: Plivo's id of the request, if the answer carried one: what its support asks for.
        reason: What happened instead of an answer, in words.
        attempts: How many times the call was tried; none but the last can have been carried out.
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
        """Seconds since the request left, whatever was done to the system clock meanwhile.

        `None` in an error that was copied or unpickled: another process cannot know it.
        """
        return None if self._sent_monotonic is None else CLOCK.monotonic() - self._sent_monotonic

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (cls, args, state) = super().__reduce__()
        return restore, (cls, args, {**state, "_sent_monotonic": None})


class OutcomeUnknownError(AmbiguousOutcomeError):
    """A create was sent and its answer is lost or unreadable: the endpoint may exist.

    It was not sent again and must not be: Plivo has no idempotency key and would make a second endpoint.
    `client.endpoints.find_created(username=…, alias=…, sent_at=…, elapsed=…)` finds out.

    Attributes:
        username: The username asked for; Plivo appends digits to it.
        alias: The alias asked for.
        endpoint_id: The new endpoint's id, where an answer still told it.
    """

    def __init__(
        self, *, username: str, alias: str, endpoint_id: str | None, **facts: Unpack[OutcomeFacts]
    ) -> None:
        message = (
            f"create of endpoint {username!r}, alias {alias!r}, was sent at "
            f"{facts['sent_at'].isoformat(timespec='milliseconds')}, but whether it happened is unknown "
            f"({facts['reason']}); do not repeat it, ask endpoints.find_created"
        )
        super().__init__(message, method="POST", path="Endpoint/", **facts)
        self.username = username
        self.alias = alias
        self.endpoint_id = endpoint_id


class APIError(CallError):
    """Plivo, or a proxy before it, answered with a status that is not a success.

    Attributes:
        status: HTTP status.
        api_id: Plivo's id of the request, if the answer carried one: what its support asks for.
        message: What the body said, at most 200 characters, control characters escaped.
        retry_after: Seconds that Plivo asked to wait, if it said so.
    """

    def __init__(  # every fact of the answer, by name
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
    """400 or 422: Plivo refuses the arguments; `message` says which."""


class AuthenticationError(APIError):
    """401: the auth id and auth token do not match."""


class ForbiddenError(APIError):
    """403: these credentials may not do this."""


class NotFoundError(APIError):
    """404: there is no such endpoint, or no longer."""


class ConflictError(APIError):
    """409: the request contradicts the account's state."""


class RateLimitedError(APIError):
    """429: the account's quota is spent, and waiting for it would take too long for this call."""


class ServerError(APIError):
    """5xx: Plivo, or a proxy before it, failed."""


class ResponseDecodeError(CallError):
    """A success status came with a body that cannot be what it should be.

    Attributes:
        status: HTTP status.
        endpoint_id: From the answer to a create: the new endpoint's id, where that much was readable.
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


class ListChangedWarning(UserWarning):
    """The account changed while its endpoints were listed, or the list ended early: some may be missing."""

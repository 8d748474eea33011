"""Request models: frozen values, validated once, before they become a request.

They are not validated on creation: the frame of a generated `__init__` holds the password, and a traceback
would show it. But subclasses of `str` are converted on creation, since they may do anything when an error
quotes them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Unpack

from attrs import field, fields, frozen
from attrs.converters import optional

from plivo_endpoints._clock import LAST_SECOND
from plivo_endpoints._errors import (
    AmbiguousOutcomeError,
    InvalidArgumentError,
    OutcomeFacts,
    OutcomeUnknownError,
)
from plivo_endpoints._validation import (
    check_bool,
    check_id,
    check_username,
    epoch_seconds,
    password_problem,
    plain,
    require,
    text_problem,
)

MIN_LIFETIME: Final = 3 * 60  # seconds of a token
MAX_LIFETIME: Final = 24 * 60 * 60  # also the default
REFRESH_BEFORE: Final = timedelta(minutes=2)
_MIN_USABLE: Final = 60  # seconds for which a cached token may be returned


@frozen(kw_only=True)
class RequestModel:
    """The body of a request, and what errors may show of it."""

    def check(self) -> None:
        """Raise `InvalidArgumentError` if a field breaks a rule."""

    def secrets(self) -> tuple[str, ...]:
        """Return what errors must redact: the fields that `repr` hides."""
        values = [getattr(self, each.name) for each in fields(type(self)) if each.repr is False]
        return tuple([value for value in values if value])

    def outcome_unknown(
        self, *, method: str, path: str, endpoint_id: str | None, **facts: Unpack[OutcomeFacts]
    ) -> AmbiguousOutcomeError:
        """Return the error for a request that must not be repeated, was sent, and got no response."""
        del endpoint_id
        message = (
            f"{method} {path} was sent, but its outcome is unknown ({facts['reason']}); "
            "check before you repeat it"
        )
        return AmbiguousOutcomeError(message, method=method, path=path, **facts)


@frozen(kw_only=True)
class NewEndpoint(RequestModel):
    """The body of a create."""

    username: str = field(converter=plain)
    password: str = field(converter=plain, repr=False)
    alias: str = field(converter=plain)
    app_id: str | None = field(converter=optional(plain), default=None)

    def check(self) -> None:
        """Raise `InvalidArgumentError` if a field breaks a rule."""
        check_username("username", self.username)
        require("password", password_problem(self.password))
        require("alias", text_problem(self.alias))
        if self.app_id is not None:
            check_id("app_id", self.app_id)

    def outcome_unknown(
        self, *, method: str, path: str, endpoint_id: str | None, **facts: Unpack[OutcomeFacts]
    ) -> OutcomeUnknownError:
        """Return the error for a create that was sent and got no response."""
        del method, path
        return OutcomeUnknownError(username=self.username, alias=self.alias, endpoint_id=endpoint_id, **facts)


@frozen(kw_only=True)
class EndpointChanges(RequestModel):
    """The body of an update; `None` leaves a field unchanged."""

    password: str | None = field(converter=optional(plain), default=None, repr=False)
    alias: str | None = field(converter=optional(plain), default=None)
    app_id: str | None = field(converter=optional(plain), default=None)

    def check(self) -> None:
        """Raise `InvalidArgumentError` if a field breaks a rule or nothing would change."""
        if self.password is None and self.alias is None and self.app_id is None:
            raise InvalidArgumentError("update", "needs at least one of password, alias and app_id")
        if self.password is not None:
            require("password", password_problem(self.password))
        if self.alias is not None:
            require("alias", text_problem(self.alias))
        if self.app_id is not None:
            check_id("app_id", self.app_id)


@frozen(kw_only=True)
class NewToken(RequestModel):
    """The body of a token request; times in epoch seconds, from `token_times`."""

    iss: str
    sub: str | None = field(converter=optional(plain), default=None)
    nbf: int | None = None
    exp: int | None = None
    app: str | None = field(converter=optional(plain), default=None)
    incoming_allow: bool = False
    outgoing_allow: bool = False

    def check(self) -> None:
        """Raise `InvalidArgumentError` if a field breaks a rule."""
        check_bool("incoming_allow", self.incoming_allow)
        check_bool("outgoing_allow", self.outgoing_allow)
        if self.sub is not None:
            require("sub", text_problem(self.sub))
        elif self.incoming_allow:
            raise InvalidArgumentError("sub", "is required when incoming calls are allowed")
        if self.app is not None:
            check_id("app", self.app)


def token_times(
    *, nbf: datetime | int | None, exp: datetime | int | None, lifetime: timedelta | None, now: int
) -> tuple[int | None, int | None]:
    """Return `nbf` and `exp` in epoch seconds; if only an end is given, the start is `now`."""
    start, end = _epoch("nbf", nbf), _epoch("exp", exp)
    if end is not None and lifetime is not None:
        raise InvalidArgumentError("lifetime", "cannot be combined with exp: both set when the token ends")
    if end is None and lifetime is None:
        _check_end("nbf", (now if start is None else start) + MAX_LIFETIME, now)
        return start, None
    start = now if start is None else start
    if end is not None:
        _check_lifetime("exp", end - start)
        _check_end("exp", end, now)
        return start, end
    end = start + _whole_seconds(lifetime)
    _check_end("lifetime", end, now)
    return start, end


def cached_token_times(lifetime: timedelta, refresh_before: timedelta) -> tuple[int, float]:
    """Return a cached token's lifetime, and how long before its end it is replaced, in seconds."""
    lasts, before = _whole_seconds(lifetime), _seconds("refresh_before", refresh_before)
    if not 0 <= before <= lasts - _MIN_USABLE:
        raise InvalidArgumentError(
            "refresh_before", "must not be negative, and at least a minute shorter than lifetime"
        )
    return lasts, before


def _whole_seconds(lifetime: timedelta | None) -> int:
    seconds = _seconds("lifetime", lifetime)
    _check_lifetime("lifetime", seconds)
    return int(seconds)


def _seconds(name: str, duration: timedelta | None) -> float:
    if not isinstance(duration, timedelta):
        raise InvalidArgumentError(name, "must be a timedelta")
    return timedelta.total_seconds(duration)


def _epoch(name: str, value: datetime | int | None) -> int | None:
    # A naive datetime could mean any zone, and a float any rounding: both are rejected.
    if value is None:
        return None
    seconds = value if type(value) is int else epoch_seconds(value)
    if seconds is None or not 0 <= seconds <= LAST_SECOND:
        raise InvalidArgumentError(
            name, "must be an aware datetime or whole epoch seconds, from 1970 to 9999"
        )
    return int(seconds)


def _check_lifetime(name: str, seconds: float) -> None:
    if seconds <= 0:
        raise InvalidArgumentError(name, "must end after nbf")
    if not MIN_LIFETIME <= seconds <= MAX_LIFETIME:
        raise InvalidArgumentError(name, "must end the token between 3 minutes and 24 hours after nbf")


def _check_end(name: str, end: int, now: int) -> None:
    if not now < end <= LAST_SECOND:
        raise InvalidArgumentError(name, "must end in the future, and before the year 10000")

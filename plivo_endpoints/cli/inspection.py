"""What a token allows and what is wrong with it, read from the token alone."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import asdict, frozen

from plivo_endpoints._request_models import MAX_LIFETIME, MIN_LIFETIME
from plivo_endpoints._sansio.converter import read_claims, read_jwt_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from plivo_endpoints._models import TokenClaims

_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SHAPE: Final = (
    "not a JWT: it must be three parts of letters, digits, '-' and '_', separated by dots, without quotation "
    'marks, and without "Bearer" in front'
)
_SHORTEST: Final = timedelta(seconds=MIN_LIFETIME)
_LONGEST: Final = timedelta(seconds=MAX_LIFETIME)
_HEADER: Final = {"alg": "HS256", "cty": "plivo;v=1", "typ": "JWT"}  # of the tokens that Plivo issues
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

# The checks of `validateToken` in version 2.2.21 of Plivo's browser SDK, which does not read the header. To
# that function, a claim with a value that JavaScript takes for false is missing, whatever its type.
_REQUIRED: Final = ("iss", "nbf", "exp")
_FALSY: Final = (None, "", 0)
_KINDS: Final[Mapping[str, tuple[str, tuple[type, ...]]]] = {
    "app": ("a string", (str,)),
    "iss": ("a string", (str,)),
    "sub": ("a string", (str,)),
    "nbf": ("a number", (int, float)),
    "exp": ("a number", (int, float)),
    "per.voice.incoming_allow": ("a boolean", (bool,)),
    "per.voice.outgoing_allow": ("a boolean", (bool,)),
}


class MalformedTokenError(click.ClickException):
    """The input is not a token, or cannot be decoded. The message never contains it."""


@frozen(kw_only=True)
class Inspection:
    """What could be read from a token at one moment; its signature is not verified.

    Attributes:
        claims: Its claims.
        now: The moment.
        sdk_problems: Why the browser SDK refuses it.
        plivo_problems: Why Plivo refuses it, whatever the time.
    """

    claims: TokenClaims
    now: datetime
    sdk_problems: tuple[str, ...]
    plivo_problems: tuple[str, ...]

    @property
    def state(self) -> str | None:
        """Whether it is "valid", "not yet valid" or "expired"; `None` if its times cannot be read."""
        if self.claims.nbf is None or self.claims.exp is None:
            return None
        if self.now >= self.claims.exp:
            return "expired"
        return "valid" if self.now >= self.claims.nbf else "not yet valid"

    @property
    def is_usable(self) -> bool:
        """Whether a phone can use it now, if its signature is right."""
        return self.state == "valid" and not self.sdk_problems and not self.plivo_problems

    @property
    def seconds_left(self) -> int | None:
        """Whole seconds until it expires, 0 if it has; `None` if its times cannot be read."""
        if self.state is None or self.claims.exp is None:
            return None
        return max(0, int((self.claims.exp - self.now).total_seconds()))

    @property
    def time_left(self) -> str | None:
        """When it expires, in words; `None` if its times cannot be read."""
        nbf, exp = self.claims.nbf, self.claims.exp
        if nbf is None or exp is None:
            return None
        if self.state == "expired":
            return f"expired {_in_words(self.now, exp)} ago"
        start = f"becomes valid in {_in_words(nbf, self.now)}, " if self.state == "not yet valid" else ""
        return f"{start}expires in {_in_words(exp, self.now)}"

    @property
    def logs_in_as(self) -> str | None:
        """The name under which the browser SDK logs in; `None` if the SDK refuses the token."""
        if self.sdk_problems:
            return None
        if not self.claims.sub:
            return "a random name, as sub is missing"
        return f"{self.claims.sub}_{self.claims.iss}"

    def fields(self) -> dict[str, object]:
        """Return what to print."""
        return {
            "usable": self.is_usable,
            "state": self.state,
            "time_left": self.time_left,
            "seconds_left": self.seconds_left,
            "incoming_calls": self.is_usable and self.claims.incoming_allow is True,
            "outgoing_calls": self.is_usable and self.claims.outgoing_allow is True,
            "logs_in_as": self.logs_in_as,
            "problems": (
                *(f"browser SDK: {problem}" for problem in self.sdk_problems),
                *(f"Plivo: {problem}" for problem in self.plivo_problems),
            ),
            "signature": "not verified: only Plivo can do that",
            "claims": asdict(self.claims),
        }


def inspect_token(jwt: str, now: datetime) -> Inspection:
    """Read a token.

    Raises:
        MalformedTokenError: It is not a JWT, or its header or claims cannot be decoded.
    """
    if not _JWT.fullmatch(jwt):
        raise MalformedTokenError(_SHAPE)
    header, payload, claims = read_jwt_part(jwt, 0), read_jwt_part(jwt, 1), read_claims(jwt)
    if header is None:
        raise MalformedTokenError("the token's header is not a JSON object in base64url")
    if payload is None or claims is None:
        raise MalformedTokenError("the token's claims are not a JSON object in base64url")
    return Inspection(
        claims=claims,
        now=now,
        sdk_problems=tuple(_sdk_problems(payload)),
        plivo_problems=tuple(_plivo_problems(header, claims)),
    )


def _sdk_problems(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the browser SDK refuses these claims; it says no more than INVALID_ACCESS_TOKEN."""
    for name in _REQUIRED:
        if payload.get(name) in _FALSY:
            yield f"{name} is missing or empty"
    for name, (kind, types) in _KINDS.items():
        value = _look_up(payload, name)
        if value not in _FALSY and type(value) not in types:
            yield f"{name} is not {kind}"


def _look_up(payload: Any, name: str) -> object:  # noqa: ANN401 - whatever JSON can hold
    for key in name.split("."):
        payload = payload.get(key) if isinstance(payload, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return payload  # pyright: ignore[reportUnknownVariableType]


def _plivo_problems(header: Mapping[str, Any], claims: TokenClaims) -> Iterator[str]:
    """Yield what Plivo refuses, as far as it is documented."""
    for name, value in _HEADER.items():
        if header.get(name) != value:
            yield f'{name} in the header is not "{value}"'
    if claims.nbf is None or claims.exp is None:
        yield "nbf or exp is not a time"
    elif not _SHORTEST <= claims.exp - claims.nbf <= _LONGEST:
        yield "exp is not between 3 minutes and 24 hours after nbf"
    if claims.incoming_allow and not claims.sub:
        yield "incoming calls need a sub: nobody could call the random name that the browser SDK takes"


def _in_words(later: datetime, earlier: datetime) -> str:
    """Return the time between two moments in its two largest units, such as "3 h 12 min"."""
    seconds = int((later - earlier).total_seconds())
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {smaller}"
    return f"{seconds} s"

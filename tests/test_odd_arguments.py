"""Whatever is passed for whichever argument: refused by name and rule and not sent, or it works."""

from __future__ import annotations

import enum
import ssl
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Never, get_args, get_origin
from unittest.mock import Mock

import aiohttp
import pytest

from plivo_endpoints import (
    AsyncClient,
    AsyncEndpoints,
    AsyncTokens,
    Client,
    Endpoints,
    InvalidArgumentError,
    RateLimit,
    Tokens,
)
from tests.public_calls import carry_out, carry_out_blocking, good_arguments, methods, parameters

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


class Hostile:
    """Raises whatever is asked of it."""

    def _refuse(self, *_: object) -> Never:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = __iter__ = _refuse
    __lt__ = __gt__ = __int__ = __float__ = __index__ = __format__ = _refuse
    __hash__ = object.__hash__


class Liar(Hostile):
    """Says that it is a string."""

    @property  # type: ignore[misc]
    def __class__(self) -> type[str]:  # type: ignore[override]
        return str


class OwnText(str):
    """A string that shows itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return "../other"

    def __format__(self, _: str) -> str:
        return "../other"

    __repr__ = __str__


class SecretStr:
    """What configuration libraries keep secrets in."""

    def get_secret_value(self) -> str:
        """Return the secret."""
        return "s3cret-enough"


class Colour(enum.Enum):
    """A member of an enumeration."""

    RED = "red"


class Name(str, enum.Enum):  # noqa: UP042 - formats unlike a string, other than StrEnum
    """A string that is a member of an enumeration."""

    ALICE = "alice"


class NoZone(tzinfo):
    """A time zone that does not know."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        """Return nothing."""

    def dst(self, _: datetime | None) -> None:
        """Return nothing."""

    def tzname(self, _: datetime | None) -> None:
        """Return nothing."""


class BadZone(NoZone):
    """A time zone that does not work."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Raise."""
        raise RuntimeError("no such zone")


ZOO: Final[tuple[object, ...]] = (
    None,
    *(True, False, 0, 1, -1, 10**5000, -(10**5000), 1.5, float("nan"), float("inf"), -float("inf"), 1e308),
    *("", "\0", "\udcff", "x" * 100_000, b"bytes", b"\xff", bytearray(b"x"), OwnText("alice"), OwnText()),
    *([], ["alice"], {}, {"a": 1}, (), {1}, 1j, Decimal(1), object(), type, ..., NotImplemented),
    *(
        Hostile(),
        Liar(),
        SecretStr(),
        Colour.RED,
        Name.ALICE,
        Mock(spec=str),
        Mock(spec=aiohttp.ClientSession),
    ),
    *(date(2026, 1, 1), datetime(2026, 1, 1), datetime.min.replace(tzinfo=UTC)),  # noqa: DTZ001
    *(datetime.max.replace(tzinfo=UTC), datetime(2026, 1, 1, tzinfo=BadZone())),
    *(datetime(2026, 1, 1, tzinfo=NoZone()), timedelta.max, timedelta.min, timedelta(0), timedelta(hours=1)),
    *(RateLimit(), RateLimit, ssl, print),
)


def fits(value: object, annotation: Any) -> bool:
    """Whether a type checker would take a value for an annotation."""
    kinds = get_args(annotation) if NoneType in get_args(annotation) else (annotation,)
    return any(_is_one(value, get_origin(kind) or kind) for kind in _flat(kinds))


def _flat(kinds: Any) -> list[Any]:
    # A callable's arguments are no alternatives.
    return [each for kind in kinds for each in (_alternatives(kind))]


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_args(kind) and get_origin(kind) is not Callable else (kind,)


def _is_one(value: object, kind: Any) -> bool:
    if kind is Callable:
        return callable(value)
    if isinstance(kind, str):  # one of a Literal
        return type(value) is str and value == kind
    if kind is float:
        return type(value) in {int, float}
    return type(value) is int if kind is int else issubclass(type(value), kind)


def complaint(error: BaseException | None, name: str, value: object, annotation: Any) -> str | None:
    """Return what is wrong with what a call did, `None` if nothing is."""
    shown = f"{name}={type(value).__name__}"
    if isinstance(error, InvalidArgumentError):
        is_named = error.field.split(".")[-1] == name or fits(value, annotation)
        return None if is_named and error.rule else f"{shown}: blames {error.field}"
    if error is not None:
        return f"{shown}: raises {type(error).__name__}"
    return None if fits(value, annotation) else f"{shown}: is taken"


CONSTRUCTORS: Final = (AsyncClient, Client, RateLimit)


@pytest.mark.parametrize("kind", CONSTRUCTORS)
def test_constructors_take_what_fits(kind: Any) -> None:
    """Every argument of every public class that is made by hand."""
    complaints: list[str | None] = []
    for name, annotation in parameters(kind).items():
        for value in ZOO:
            error = None
            try:
                kind(**{**good_arguments(kind), name: value})
            except Exception as raised:  # noqa: BLE001 - whatever it is
                error = raised
            complaints.append(complaint(error, name, value, annotation))
    assert list(filter(None, complaints)) == []
    assert complaints


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_views_take_what_fits(kind: type[AsyncClient | Client]) -> None:
    """Every argument of `with_options`."""
    client: Any = kind(**good_arguments(kind))
    complaints: list[str | None] = []
    for name, annotation in parameters(kind.with_options).items():
        for value in ZOO:
            error = None
            try:
                client.with_options(**{name: value})
            except Exception as raised:  # noqa: BLE001 - whatever it is
                error = raised
            complaints.append(complaint(error, name, value, annotation))
    assert list(filter(None, complaints)) == []
    assert complaints


ASYNC: Final = [(kind, name) for kind in (AsyncEndpoints, AsyncTokens) for name in methods(kind)]
BLOCKING: Final = [(kind, name) for kind in (Endpoints, Tokens) for name in methods(kind)]


@pytest.mark.parametrize(("resource", "method"), ASYNC)
async def test_calls_take_what_fits(
    resource: type, method: str, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Every argument of every method; what is refused is not sent."""
    function = methods(resource)[method]
    complaints: list[str | None] = []
    await client.endpoints.create(username="seed", password="s3cret", alias="seed")
    for name, annotation in parameters(function).items():
        for value in ZOO:
            before, error = len(sandbox.requests), None
            try:
                await carry_out(client, resource, method, {**good_arguments(function), name: value})
            except Exception as raised:  # noqa: BLE001 - whatever it is
                error = _unless_plivos(raised)
            complaints.append(complaint(error, name, value, annotation))
            if isinstance(error, InvalidArgumentError) and len(sandbox.requests) > before:
                complaints.append(f"{name}: sent")
    assert list(filter(None, complaints)) == []
    assert complaints


@pytest.mark.parametrize(("resource", "method"), BLOCKING)
def test_blocking_calls_take_what_fits(
    resource: type, method: str, blocking_client: Client, threaded_sandbox: Sandbox
) -> None:
    """The same, of the blocking client."""
    function = methods(resource)[method]
    complaints: list[str | None] = []
    blocking_client.endpoints.create(username="seed", password="s3cret", alias="seed")
    for name, annotation in parameters(function).items():
        for value in ZOO:
            before, error = len(threaded_sandbox.requests), None
            try:
                carry_out_blocking(
                    blocking_client, resource, method, {**good_arguments(function), name: value}
                )
            except Exception as raised:  # noqa: BLE001 - whatever it is
                error = _unless_plivos(raised)
            complaints.append(complaint(error, name, value, annotation))
            if isinstance(error, InvalidArgumentError) and len(threaded_sandbox.requests) > before:
                complaints.append(f"{name}: sent")
    assert list(filter(None, complaints)) == []
    assert complaints


def _unless_plivos(error: Exception) -> Exception | None:
    """Return an error of the call; that Plivo does not know an id, or takes no such alias, is none."""
    return None if type(error).__name__ in {"NotFoundError", "BadRequestError"} else error

"""Strict conversion of JSON values to the types of a model's fields.

A response is unreadable only if it lacks a required field of its model. Any other invalid value counts as
missing.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import partial, reduce
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_type_hints

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cattrs import Converter

T = TypeVar("T")

_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}
_FACTORY: Final[type[object]] = type(attrs.Factory(list[object]))
_EMPTY: Final = (None, "")
# What reading a value of the wrong type can raise.
_INVALID: Final = (TypeError, ValueError, LookupError, AttributeError, OverflowError)


def read_object(value: object, _: object = None) -> dict[str, Any]:
    """Return an object; keys in JSON are strings."""
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType] - see above
    raise TypeError("a value is not an object")


def read_text(value: object, _: object = None) -> str:
    """Return a string."""
    if isinstance(value, str):
        return value
    raise TypeError("a value is not a string")


def read_flag(value: object, _: object = None) -> bool:
    """Return a boolean, which may be sent as a string."""
    if type(value) is str:
        value = _BOOLEANS.get(value.lower())
    if value is True or value is False:
        return value
    raise TypeError("a value is not a boolean")


def read_whole(value: object, _: object = None) -> int:
    """Return a whole number."""
    if type(value) is int:  # a boolean is an `int` too
        return value
    raise TypeError("a value is not a whole number")


def read_number(value: object, _: object = None) -> float:
    """Return a finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise TypeError("a value is not a number")


def read_time(value: object, _: object = None) -> datetime:
    """Return an aware UTC datetime; without an offset it is UTC, as in Plivo's 2022-07-21 19:26:08."""
    if not isinstance(value, str):
        raise TypeError("a time is not a string")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise TypeError("a time is not a valid date") from None  # whose text quotes the response


SCALARS: Final[Mapping[object, Callable[..., object]]] = {
    str: read_text,
    int: read_whole,
    float: read_number,
    bool: read_flag,
    datetime: read_time,
}


@attrs.frozen
class _Shape:
    """How the fields of a model are read."""

    texts: frozenset[str]
    hooks: Mapping[str, Callable[[object], object]]  # of the other types
    required: tuple[str, ...]  # those without a default that are never `None`
    hidden: tuple[str, ...]  # from the model's repr
    absent: dict[str, object]  # the values of fields that the response lacks
    has_extra: bool
    fills: bool  # whether an instance's fields can be filled in without its constructor

    @classmethod
    def of(cls, model: type[Any], made: Converter) -> _Shape:
        """Derive it from the types and defaults of the model's fields."""
        fields, hints = attrs.fields_dict(model), get_type_hints(model)
        has_extra = fields.pop("extra", None) is not None
        kinds = {name: _without_none(hints[name]) for name in fields}
        bare = [name for name, field in fields.items() if field.default is attrs.NOTHING]
        made_anew = [name for name, field in fields.items() if type(field.default) is _FACTORY]
        return cls(
            texts=frozenset(name for name, kind in kinds.items() if kind is str),
            hooks={
                name: SCALARS.get(kind) or partial(made.structure, cl=cast("Any", kind))
                for name, kind in kinds.items()
                if kind is not str
            },
            required=tuple(name for name in bare if kinds[name] is hints[name]),
            hidden=tuple(name for name, field in fields.items() if field.repr is not True),
            absent={
                name: None if name in bare else field.default
                for name, field in fields.items()
                if name not in made_anew
            },
            has_extra=has_extra,
            fills=not made_anew and not any("__slots__" in vars(base) for base in model.__mro__),
        )

    def forget_hidden(self, extra: dict[str, object]) -> None:
        """Remove from `extra` what the model's own repr hides."""
        for name in self.hidden:
            extra.pop(name, None)


def _without_none(hint: object) -> object:
    """Return the type of a field without `None`."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return reduce(lambda one, other: one | other, kinds) if NoneType in get_args(hint) else hint


def make_reader(model: type[T], made: Converter) -> Callable[[object, object], T]:  # noqa: C901 - see `read`
    """Return a function that makes a `model` from a JSON object, in one pass, by the types of its fields.

    A field without a default is required: if it is missing, empty or of the wrong type, the object is
    unreadable. Any other field then keeps its default. Unknown fields and values of the wrong type go to the
    model's `extra`, if it has one, except for what the model's repr hides.
    """
    shape = _Shape.of(model, made)
    texts, hooks, required, absent = shape.texts, shape.hooks, shape.required, shape.absent  # faster
    fills, has_extra, new = shape.fills, shape.has_extra, object.__new__

    def read(value: object, _: object = None) -> T:  # noqa: C901 - function calls would slow lists down
        # The constructor of a frozen class takes as long as all the rest. So the fields of classes without
        # slots, which lists contain, are filled in the way `pickle` does it.
        instance = new(model)
        known: dict[str, Any] = instance.__dict__ if fills else {}
        known.update(absent)
        extra: dict[str, object] = {}
        body: dict[str, object] = value if type(value) is dict else read_object(value)  # pyright: ignore[reportUnknownVariableType]
        for name, content in body.items():
            if name in texts:
                if type(content) is str:
                    known[name] = content
                elif content is not None:
                    extra[name] = content
            elif (hook := hooks.get(name)) is None:
                extra[name] = content
            elif content is not None:
                try:
                    known[name] = hook(content)
                except _INVALID:
                    extra[name] = content
        for name in required:
            if not known[name] and known[name] in _EMPTY:
                raise TypeError(f"{name} is missing, empty or of the wrong type")
        if has_extra:
            known["extra"] = extra
            if extra:
                shape.forget_hidden(extra)
        return instance if fills else model(**known)

    return read

"""The settings of an account, and the validators of the sandbox's models.

Their messages name the field, never its value.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from plivo_endpoints.sandbox._json import is_text

if TYPE_CHECKING:
    from attrs import Attribute

_MAX_TOKEN = 200  # characters

Check = Callable[[Any, "Attribute[Any]", Any], None]


def is_string(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Require a string that can be encoded as UTF-8."""
    if not isinstance(value, str) or not is_text(value):
        raise ValueError(f"{attribute.name} must be a string")


def is_token(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Require a string that is valid in a header."""
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= _MAX_TOKEN:
        raise ValueError(f"{attribute.name} must be a string of 1 to {_MAX_TOKEN} printable characters")


def is_time(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Require an aware datetime."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{attribute.name} must be a time with a UTC offset")


def is_flag(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Require a bool."""
    if type(value) is not bool:
        raise ValueError(f"{attribute.name} must be true or false")


def matches(pattern: str, rule: str) -> Check:
    """Require a full match of `pattern`, which `rule` describes in words."""

    def check(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{attribute.name} must be {rule}")

    return check


def is_one_of(*choices: str) -> Check:
    """Require one of `choices`."""

    def check(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if value not in choices:
            raise ValueError(f"{attribute.name} must be one of {', '.join(choices)}")

    return check


def is_between(first: float, last: float) -> Check:
    """Require a number from `first` to `last`."""

    def check(_instance: object, attribute: "Attribute[Any]", value: object) -> None:
        # bool is a subclass of int.
        if isinstance(value, bool) or not isinstance(value, int | float) or not first <= value <= last:
            raise ValueError(f"{attribute.name} must be a number from {first} to {last}")

    return check


Pagination = Literal["offset", "cursor", "hybrid"]
PageOrder = Literal["newest", "oldest"]

MAX_SECONDS = 86_400  # of lag, latency and drip: a day


@frozen(kw_only=True)
class Settings:
    """The settings of an account; see `Account` for each."""

    pagination: Pagination = field(default="offset", validator=is_one_of("offset", "cursor", "hybrid"))
    order: PageOrder = field(default="newest", validator=is_one_of("newest", "oldest"))
    strict_alias: bool = field(default=False, validator=is_flag)
    quota: bool = field(default=False, validator=is_flag)
    list_lag: float = field(default=0.0, validator=is_between(0, MAX_SECONDS))

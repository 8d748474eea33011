"""Rules for arguments: each raises `InvalidArgumentError`, which names field and rule, never the value."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

from plivo_endpoints._errors import InvalidArgumentError

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USERNAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,24}")
_MIN_PASSWORD: Final = 5
# Half a surrogate pair is what Python makes of bytes that are no UTF-8; nobody else would read it.
SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def check_id(field: str, value: object) -> None:
    """Refuse what could leave its path segment: an id travels in the URL with the account's credentials."""
    if not (isinstance(value, str) and ID.fullmatch(value)):
        raise InvalidArgumentError(field, "must be 1 to 64 letters, digits, '-' or '_'")


def check_username(field: str, value: object) -> None:
    """https://www.plivo.com/docs/voice/api/endpoints: letters and digits, first a letter, 1 to 25."""
    if not (isinstance(value, str) and _USERNAME.fullmatch(value)):
        raise InvalidArgumentError(field, "must be 1 to 25 ASCII letters and digits, the first a letter")


def check_password(field: str, value: object) -> None:
    """https://www.plivo.com/docs/voice/api/endpoints: at least 5 characters; no upper bound is documented."""
    if not (isinstance(value, str) and len(value) >= _MIN_PASSWORD and not SURROGATE.search(value)):
        raise InvalidArgumentError(field, f"must be a string of at least {_MIN_PASSWORD} characters")


def check_text(field: str, value: object) -> None:
    """A non-empty string: Plivo documents letters for an alias that its own examples break."""
    if not (isinstance(value, str) and value and not SURROGATE.search(value)):
        raise InvalidArgumentError(field, "must be a non-empty string")


def check_bool(field: str, value: object) -> None:
    """A real boolean: the string "false" is true to Python, and would let a phone make calls."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(field, "must be True or False")


def check_count(field: str, value: object, low: int, high: int | None = None) -> None:
    """A whole number within bounds."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= (high or value):
        return
    bounds = f"from {low} to {high}" if high else f"of at least {low}"
    raise InvalidArgumentError(field, f"must be a whole number {bounds}")


def check_aware(field: str, value: object) -> None:
    """A time that says in which zone it is."""
    if not (isinstance(value, datetime) and value.tzinfo is not None):
        raise InvalidArgumentError(field, "must be an aware datetime")


def check_seconds(field: str, value: object, *, zero: bool = False) -> None:
    """A finite number of seconds above zero, or from zero on."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if 0 < number < math.inf or (zero and number == 0):
        return
    bound = "zero or more" if zero else "more than zero"
    raise InvalidArgumentError(field, f"must be a finite number of seconds, {bound}")

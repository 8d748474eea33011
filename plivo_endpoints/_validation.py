"""Validation of arguments. An error names the field and the rule, never the value.

A `…_problem` function returns the rule that a value breaks, and `require` raises it. So the frame that raises
never held the value, and a crash reporter that shows the locals of every frame finds no secret there. The
checks use a value's type rather than its methods, which a subclass may override.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Final, cast

from plivo_endpoints._errors import InvalidArgumentError

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USERNAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,24}")
_MIN_PASSWORD: Final = 5
_LARGEST_COUNT: Final = 2**31 - 1
# Python decodes bytes that are not UTF-8 to lone surrogates, which no other program can read.
SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_NOT_UNICODE: Final = "cannot be encoded as UTF-8: it contains lone surrogates"
NOT_TEXT: Final = "must be text (str)"


def require(field: str, problem: str | None) -> None:
    """Raise `InvalidArgumentError` if an argument breaks a rule."""
    if problem is not None:
        raise InvalidArgumentError(field, problem)


def check_callable(field: str, value: object) -> None:
    """Require a callable, or `None`."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(field, "must be callable, or None")


def as_text(value: object) -> str | None:
    """Return a string as a plain `str`, even if it is a subclass; `None` for any other type."""
    if type(value) is str:
        return value
    return str.__str__(cast("str", value)) if issubclass(type(value), str) else None


def plain(value: str) -> str:
    """Return a string as a plain `str`; any other value unchanged, to be rejected later."""
    if type(value) is str:
        return value
    text = as_text(value)
    return value if text is None else text


def password_problem(value: object) -> str | None:
    """Check for 5 characters, as https://www.plivo.com/docs/voice/api/endpoints has it, without maximum."""
    text = as_text(value)
    if text is None:
        return NOT_TEXT
    if len(text) < _MIN_PASSWORD:
        return f"must be a string of at least {_MIN_PASSWORD} characters"
    return _NOT_UNICODE if SURROGATE.search(text) else None


def text_problem(value: object) -> str | None:
    """Check for a non-empty string: Plivo's own examples break the documented alphabet of an alias."""
    text = as_text(value)
    if text is None:
        return NOT_TEXT
    if not text:
        return "must be a non-empty string"
    return _NOT_UNICODE if SURROGATE.search(text) else None


def check_id(field: str, value: object) -> None:
    """Reject an id that could escape its URL segment: the request carries the account's credentials."""
    if not ID.fullmatch(as_text(value) or ""):
        raise InvalidArgumentError(field, "must be 1 to 64 letters, digits, '-' or '_'")


def check_username(field: str, value: object) -> None:
    """Require a username as documented in https://www.plivo.com/docs/voice/api/endpoints."""
    if not _USERNAME.fullmatch(as_text(value) or ""):
        raise InvalidArgumentError(field, "must be 1 to 25 ASCII letters and digits, the first a letter")


def check_text(field: str, value: object) -> None:
    """Require a non-empty string that can be encoded."""
    require(field, text_problem(value))


def check_bool(field: str, value: object) -> None:
    """Require a real boolean: the string "false" is truthy and would let a phone make calls."""
    if type(value) is not bool:
        raise InvalidArgumentError(field, "must be True or False")


def check_count(field: str, value: object, low: int, high: int = _LARGEST_COUNT) -> None:
    """Require a whole number within bounds."""
    if not (type(value) is int and low <= value <= high):
        raise InvalidArgumentError(field, f"must be a whole number from {low} to {high}")


def check_aware(field: str, value: object) -> None:
    """Require a datetime with a time zone."""
    if epoch_seconds(value) is None:
        raise InvalidArgumentError(field, "must be an aware datetime")


def epoch_seconds(value: object) -> float | None:
    """Return an aware datetime in epoch seconds; `None` for anything else."""
    try:
        if issubclass(type(value), datetime) and value.utcoffset() is not None:  # type: ignore[attr-defined]
            return datetime.timestamp(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - the time zone may be the caller's own class
        return None
    return None


def check_seconds(field: str, value: object, *, zero: bool = False) -> None:
    """Require a finite number of seconds above zero, or with `zero`, of at least zero."""
    if (type(value) is int or issubclass(type(value), float)) and (
        0 < value <= sys.float_info.max or (zero and value == 0)  # type: ignore[operator]
    ):
        return
    bound = "zero or more" if zero else "more than zero"
    raise InvalidArgumentError(field, f"must be a finite number of seconds, {bound}")


def suffix_length(username: str, made_as: str) -> int | None:
    """Return how many digits Plivo appended to a username; `None` if it changed anything else."""
    digits = made_as.removeprefix(username)
    return len(digits) if made_as.startswith(username) and digits.isascii() and digits.isdigit() else None

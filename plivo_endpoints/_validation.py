"""Rules for arguments. An error names field and rule, never the value.

A `…_problem` function returns the rule that a value breaks, and `require` raises it: so the frame that raises
has never held the value, and a crash reporter that shows the locals of every frame finds no secret there. A
rule asks the value's type and not its methods, which may be a subclass's own.
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
# Half a surrogate pair is what Python makes of bytes that are no UTF-8; nobody else would read it.
SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_NOT_UNICODE: Final = "cannot be encoded as UTF-8: it contains lone surrogates"
NOT_TEXT: Final = "must be text (str)"


def require(field: str, problem: str | None) -> None:
    """Raise the rule that an argument breaks, if it breaks one."""
    if problem is not None:
        raise InvalidArgumentError(field, problem)


def check_callable(field: str, value: object) -> None:
    """A function or the like, or `None`."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(field, "must be callable, or None")


def as_text(value: object) -> str | None:
    """Return a string without what its subclass makes of it; `None` for what is no string."""
    if type(value) is str:
        return value
    return str.__str__(cast("str", value)) if issubclass(type(value), str) else None


def plain(value: str) -> str:
    """Return a string without what its subclass makes of it, and all else as it is, to be refused."""
    if type(value) is str:
        return value
    text = as_text(value)
    return value if text is None else text


def password_problem(value: object) -> str | None:
    """https://www.plivo.com/docs/voice/api/endpoints: at least 5 characters; no upper bound is documented."""
    text = as_text(value)
    if text is None:
        return NOT_TEXT
    if len(text) < _MIN_PASSWORD:
        return f"must be a string of at least {_MIN_PASSWORD} characters"
    return _NOT_UNICODE if SURROGATE.search(text) else None


def text_problem(value: object) -> str | None:
    """A non-empty string: Plivo documents letters for an alias that its own examples break."""
    text = as_text(value)
    if text is None:
        return NOT_TEXT
    if not text:
        return "must be a non-empty string"
    return _NOT_UNICODE if SURROGATE.search(text) else None


def check_id(field: str, value: object) -> None:
    """Refuse what could leave its path segment: an id travels in the URL with the account's credentials."""
    if not ID.fullmatch(as_text(value) or ""):
        raise InvalidArgumentError(field, "must be 1 to 64 letters, digits, '-' or '_'")


def check_username(field: str, value: object) -> None:
    """https://www.plivo.com/docs/voice/api/endpoints: letters and digits, first a letter, 1 to 25."""
    if not _USERNAME.fullmatch(as_text(value) or ""):
        raise InvalidArgumentError(field, "must be 1 to 25 ASCII letters and digits, the first a letter")


def check_text(field: str, value: object) -> None:
    """A non-empty string that can be encoded."""
    require(field, text_problem(value))


def check_bool(field: str, value: object) -> None:
    """A real boolean: the string "false" is true to Python, and would let a phone make calls."""
    if type(value) is not bool:
        raise InvalidArgumentError(field, "must be True or False")


def check_count(field: str, value: object, low: int, high: int = _LARGEST_COUNT) -> None:
    """A whole number within bounds."""
    if not (type(value) is int and low <= value <= high):
        raise InvalidArgumentError(field, f"must be a whole number from {low} to {high}")


def check_aware(field: str, value: object) -> None:
    """A time that says in which zone it is."""
    if epoch_seconds(value) is None:
        raise InvalidArgumentError(field, "must be an aware datetime")


def epoch_seconds(value: object) -> float | None:
    """Return an aware datetime in epoch seconds; `None` for all else."""
    try:
        if issubclass(type(value), datetime) and value.utcoffset() is not None:  # type: ignore[attr-defined]
            return datetime.timestamp(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - of a time zone that is the caller's own
        return None
    return None


def check_seconds(field: str, value: object, *, zero: bool = False) -> None:
    """A finite number of seconds above zero, or from zero on."""
    if (type(value) is int or issubclass(type(value), float)) and (
        0 < value <= sys.float_info.max or (zero and value == 0)  # type: ignore[operator]
    ):
        return
    bound = "zero or more" if zero else "more than zero"
    raise InvalidArgumentError(field, f"must be a finite number of seconds, {bound}")


def suffix_length(username: str, made_as: str) -> int | None:
    """Return how many digits Plivo appended to a username; `None` if it did something else."""
    digits = made_as.removeprefix(username)
    return len(digits) if made_as.startswith(username) and digits.isascii() and digits.isdigit() else None

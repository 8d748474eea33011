"""What a bulk run is fed with: rows, and what may be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping  # type hints resolve the annotations
from os import PathLike
from typing import Any, Final, Protocol

from attrs import field, frozen

from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import (
    SURROGATE,
    check_id,
    check_username,
    password_problem,
)

REQUIRED: Final = ("username", "alias")
KNOWN: Final = (*REQUIRED, "password", "password_version", "app_id", "key")
NO_PASSWORD: Final = "is missing, and PLIVO_PROVISION_KEY, to derive it from, is not set"  # noqa: S105 - none

_KNOWN: Final = frozenset(KNOWN)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST: Final = 1024  # characters; the longest field that a person could mean
_MISSING: Final = "is missing"


@frozen(kw_only=True)
class Row:
    """One SIP user to be.

    Attributes:
        username: The name asked for; Plivo appends digits. Unique.
        alias: The name for people, without blanks around it; several rows may have the same.
        password: The SIP password, without blanks around it; `None` derives one from the master key.
        password_version: Any text. A row whose version is edited gets its password sent again; a derived
            password depends on it.
        app_id: The application that handles its calls; `None` leaves it to the account's default.
        key: What this row is called in the state and in results; unique. It stays when all else is edited.
            The username if it is empty.
        line: Where it stands in its source, from 1; 0 if that has no lines.
    """

    username: str
    alias: str
    password: str | None = field(default=None, repr=False)
    password_version: str = ""
    app_id: str | None = None
    key: str = ""
    line: int = field(default=0, eq=False)

    def __attrs_post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.username)


@frozen
class Problem:
    """A line that cannot be used, and why.

    Attributes:
        line: Which, from 1; 0 if the source as a whole cannot be used.
        reason: All that is wrong with it, and what to do; it never shows a value.
        key: The key of its row, where that is known.
        file: The source's file, if it has one.
        lacks_password: Whether it has no password, which is wrong too where there is no master key.
    """

    line: int
    reason: str
    key: str | None = None
    file: str | None = None
    lacks_password: bool = field(default=False, kw_only=True, eq=False, repr=False)

    def __str__(self) -> str:
        place = [self.file] if self.file else []
        if self.line:
            place.append(f"{'line' if self.file else 'row'} {self.line}")
        if self.key:
            place.append(f"key {self.key!r}")
        return f"{', '.join(place)}: {self.reason}" if place else self.reason


class RowSource(Protocol):
    """A source object: it can be iterated over more than once and gives the same rows each time.

    A `Problem` stands in for a row that cannot be read. It is iterated over in threads, one at a time.
    """

    def __iter__(self) -> Iterator[Row | Problem]:
        """Begin from the first row."""
        ...


# A path, a source object, or a collection of rows and of mappings with the same fields.
Source = str | PathLike[str] | RowSource | Iterable[Row | Mapping[Any, object]]


def row_of(fields: Mapping[Any, object], line: int, faults: tuple[str, ...] = ()) -> Row | Problem:
    """Make a row of a record's fields: known ones, and strings; `None` and the empty string count as absent.

    Args:
        fields: What it holds, by name.
        line: Where it stands.
        faults: What is wrong with it beyond that.
    """
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and name in _KNOWN}
    row = Row(
        username=texts.get("username", ""),
        alias=texts.get("alias", ""),
        password=texts.get("password") or None,
        password_version=texts.get("password_version", ""),
        app_id=texts.get("app_id") or None,
        key=texts.get("key", ""),
        line=line,
    )
    if len(texts) == len(fields) and not faults:
        return row
    wrong = tuple(name for name in KNOWN if name not in texts and fields.get(name) is not None)
    if unknown := ", ".join(repr(name) for name in fields if name not in _KNOWN):
        faults = (*faults, f"there is no field {unknown}; known are {', '.join(KNOWN)}")
    return _problem(row, wrong, faults) if wrong or faults else row


def _problem(row: Row, wrong: tuple[str, ...], faults: tuple[str, ...]) -> Problem:
    named = {**faults_of(row, derives=True), **dict.fromkeys(wrong, "must be a string")}
    faults = (*faults, *(f"{name}: {named[name]}" for name in KNOWN if name in named))
    lacks_password = row.password is None and "password" not in wrong
    return Problem(row.line, "; ".join(faults), key_shown(row), lacks_password=lacks_password)


def faults_of(row: Row, *, derives: bool) -> dict[str, str]:
    """Return what is wrong with a row by itself, by field.

    Args:
        row: Which.
        derives: Whether there is a master key, so that a row needs no password.
    """
    found = {
        "username": _fault_of_username(row.username),
        "alias": _fault_of_text(row.alias) or _fault_of_ends(row.alias) if row.alias else _MISSING,
        "password": _fault_of_password(row.password, derives=derives),
        "password_version": _fault_of_text(row.password_version),
        "app_id": None if row.app_id is None else _rule(check_id, row.app_id),
        "key": None if row.key == row.username else _fault_of_text(row.key),
    }
    return {name: fault for name, fault in found.items() if fault is not None}


def key_shown(row: Row) -> str | None:
    """Return a row's key for people to find it by.

    `None` where what stands in its place may be a password, for a slip of the columns.
    """
    if row.key == row.password or _fault_of_text(row.key):
        return None
    return None if row.key == row.username and _fault_of_username(row.username) else row.key


def is_encodable(row: Row) -> bool:
    """Whether a row names username and alias, and a state can hold it."""
    texts = (row.key, row.username, row.alias, row.app_id or "", row.password_version)
    return bool(row.username and row.alias) and not any(map(SURROGATE.search, texts))


def _fault_of_username(username: str) -> str | None:
    if not username:
        return _MISSING
    return _fault_of_text(username) or _rule(check_username, username)


def _fault_of_password(password: str | None, *, derives: bool) -> str | None:
    if password is None:
        return None if derives else NO_PASSWORD
    return _fault_of_text(password) or _fault_of_ends(password) or password_problem(password)


def _fault_of_ends(text: str) -> str | None:
    # An alias may lose them on the way, and then its endpoint is not found; in a password nobody means them.
    return "begins or ends with a blank: remove it" if text != text.strip() else None


def _fault_of_text(text: str) -> str | None:
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if text.isprintable():  # what nearly all are, and then neither of these
        return None
    if SURROGATE.search(text):
        return (
            "is not text in the file's encoding: pass the right one (--encoding), or save the file as UTF-8"
        )
    return "holds a control character" if _CONTROL.search(text) else None


def _rule(check: Callable[[str, object], None], text: str) -> str | None:
    try:
        check("", text)
    except InvalidArgumentError as error:
        return error.rule
    return None

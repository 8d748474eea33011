"""Rows, the input of a run, and their validation."""

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
NO_PASSWORD: Final = "is missing, and PLIVO_PROVISION_KEY, to derive it from, is not set"  # noqa: S105 - a message

_KNOWN: Final = frozenset(KNOWN)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSTORABLE: Final = re.compile(f"{SURROGATE.pattern}|\0")
_LONGEST: Final = 1024  # characters; a longer field is certainly a mistake
_MISSING: Final = "is missing"


@frozen(kw_only=True)
class Row:
    """One SIP user.

    Attributes:
        username: The requested username, to which Plivo appends digits. Unique.
        alias: The display name, without surrounding whitespace; several rows may share one.
        password: The SIP password, without surrounding whitespace; `None` derives one from the master key.
        password_version: Any text. If it is edited, the row's password is sent again; a derived password
            depends on it.
        app_id: The application that handles its calls; `None` means the account's default.
        key: Identifies the row in the state and in results; unique. It stays the same when everything else is
            edited. Defaults to the username.
        line: Its line in the source, from 1; 0 if the source has no lines.
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
    """An invalid line of a source.

    Attributes:
        line: The line, from 1; 0 if the source as a whole cannot be used.
        reason: Everything that is wrong with it, and what to do; it never contains a value.
        key: The key of its row, if known.
        file: The source's file, if it has one.
        lacks_password: Whether it has no password, which is an error if there is no master key.
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
    """A source object: it can be iterated over more than once and yields the same rows each time.

    It yields a `Problem` for a row that cannot be read. It is iterated over in threads, one at a time.
    """

    def __iter__(self) -> Iterator[Row | Problem]:
        """Iterate from the first row."""
        ...


# A path, a source object, or a collection of rows and of mappings with the same fields.
Source = str | PathLike[str] | RowSource | Iterable[Row | Mapping[Any, object]]


def row_of(fields: Mapping[Any, object], line: int, faults: tuple[str, ...] = ()) -> Row | Problem:
    """Return a record as a row, or its problem; `None` and the empty string count as absent.

    Args:
        fields: The values by name; only known names and strings are valid.
        line: The line of the record.
        faults: Other things that are wrong with it.
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
        faults = (*faults, f"unknown field {unknown}; known fields are {', '.join(KNOWN)}")
    return _problem(row, wrong, faults) if wrong or faults else row


def _problem(row: Row, wrong: tuple[str, ...], faults: tuple[str, ...]) -> Problem:
    named = {**faults_of(row, derives=True), **dict.fromkeys(wrong, "must be a string")}
    faults = (*faults, *(f"{name}: {named[name]}" for name in KNOWN if name in named))
    lacks_password = row.password is None and "password" not in wrong
    return Problem(row.line, "; ".join(faults), key_shown(row), lacks_password=lacks_password)


def faults_of(row: Row, *, derives: bool) -> dict[str, str]:
    """Return what is wrong with a row by itself, by field.

    Args:
        row: The row.
        derives: Whether there is a master key, so that the row needs no password.
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
    """Return a row's key to show in a message; `None` if it may be a password in the wrong column."""
    if row.key == row.password or _fault_of_text(row.key):
        return None
    return None if row.key == row.username and _fault_of_username(row.username) else row.key


def is_encodable(row: Row) -> bool:
    """Whether a row has username and alias, and a state can store it."""
    texts = (row.key, row.username, row.alias, row.app_id or "", row.password_version)
    return bool(row.username and row.alias) and not any(map(_UNSTORABLE.search, texts))


def _fault_of_username(username: str) -> str | None:
    if not username:
        return _MISSING
    return _fault_of_text(username) or _rule(check_username, username)


def _fault_of_password(password: str | None, *, derives: bool) -> str | None:
    if password is None:
        return None if derives else NO_PASSWORD
    return _fault_of_text(password) or _fault_of_ends(password) or password_problem(password)


def _fault_of_ends(text: str) -> str | None:
    # Plivo may strip it from an alias, and then the endpoint is not found; in a password it is a mistake.
    return "must not begin or end with whitespace" if text != text.strip() else None


def _fault_of_text(text: str) -> str | None:
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if text.isprintable():  # the usual case, which excludes both cases below
        return None
    if SURROGATE.search(text):
        return (
            "is not valid in the file's encoding: pass the right one (--encoding), or save the file as UTF-8"
        )
    return "contains a control character" if _CONTROL.search(text) else None


def _rule(check: Callable[[str, object], None], text: str) -> str | None:
    try:
        check("", text)
    except InvalidArgumentError as error:
        return error.rule
    return None

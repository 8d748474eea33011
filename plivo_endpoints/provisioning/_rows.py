"""What a bulk run is fed with: rows, and what may be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator  # noqa: TC003 - type hints resolve the annotations
from typing import Final, Protocol

from attrs import field, frozen

from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import (
    SURROGATE,
    check_id,
    check_text,
    check_username,
    password_problem,
    require,
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST: Final = 1024  # characters; the longest field that a person could mean


@frozen(kw_only=True)
class Row:
    """One SIP user to be.

    Attributes:
        key: What this row is called in the journal and in results; unique.
        username: The name asked for; Plivo appends digits. Unique.
        alias: The name for people, by which the endpoint is found again: unique, without blanks around it.
        password: The SIP password; `None` derives one from the master key.
        app_id: The application that handles its calls; `None` leaves it to the account's default.
        line: Where it stands in its source, from 1; 0 if that has no lines.
    """

    key: str
    username: str
    alias: str
    password: str | None = field(default=None, repr=False)
    app_id: str | None = None
    line: int = field(default=0, eq=False)


@frozen
class Problem:
    """A line that cannot be used, and why; the reason never shows a value."""

    line: int
    reason: str


class RowSource(Protocol):
    """Anything that can be iterated over more than once and gives the same rows each time; a list will do.

    A `Problem` stands in for a row that cannot be read. It is iterated over in threads, one at a time.
    """

    def __iter__(self) -> Iterator[Row | Problem]:
        """Begin from the first row."""
        ...


def fault_of(row: Row, *, derives: bool) -> str | None:
    """Return what is wrong with a row by itself, `None` for nothing.

    Args:
        row: Which.
        derives: Whether there is a master key, so that a row needs no password.
    """
    texts = {"key": row.key, "alias": row.alias, "password": row.password}
    for name, text in texts.items():
        if text is not None and (reason := fault_of_text(text)):
            return f"{name}: {reason}"
    if row.alias != row.alias.strip():  # cut off on the way, they would keep its endpoint from being found
        return "alias: begins or ends with a blank"
    if row.password is None and not derives:
        return "password: is missing, and PLIVO_PROVISION_KEY, to derive it from, is not set"
    try:
        check_text("key", row.key)
        check_username("username", row.username)
        check_text("alias", row.alias)
        if row.password is not None:
            require("password", password_problem(row.password))
        if row.app_id is not None:
            check_id("app_id", row.app_id)
    except InvalidArgumentError as error:
        return str(error)
    return None


def fault_of_text(text: str) -> str | None:
    """Return why a field's text cannot be used, `None` if it can."""
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if text.isprintable():  # what nearly all are, and then neither of these
        return None
    if SURROGATE.search(text):
        return "is not UTF-8"
    return "holds a control character" if _CONTROL.search(text) else None

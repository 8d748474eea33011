"""Which state a text or a path names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from plivo_endpoints._postgres import is_postgres_url
from plivo_endpoints._validation import require
from plivo_endpoints.provisioning._state._postgres import DEFAULT_FLEET, PostgresState
from plivo_endpoints.provisioning._state._sqlite import SqliteState

if TYPE_CHECKING:
    from os import PathLike

# Such as a mistyped one; a single letter is a drive of Windows.
_OTHER_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://?|postgres\w*:", re.IGNORECASE)


def state_of(given: str | PathLike[str]) -> SqliteState | PostgresState:
    """Return the state in a file, or in a database: `postgresql://user@host/database#fleet`."""
    text = os.fspath(given)
    if not is_postgres_url(text):
        rule = "must be a file, or a URL that begins with postgresql://"
        require("state", rule if _OTHER_SCHEME.match(text) else None)
        return SqliteState(given)
    url, mark, fleet = text.partition("#")
    require("state", "must have the fleet's name after the #" if mark and not fleet else None)
    is_cut = "@" in fleet or "/" in fleet  # such as by a # in the password
    require("state", "must have a # only before the fleet: write %23 elsewhere" if is_cut else None)
    return PostgresState(url, fleet or DEFAULT_FLEET)

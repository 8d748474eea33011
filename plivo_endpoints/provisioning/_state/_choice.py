"""Which state a text or a path names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from plivo_endpoints._postgres import is_postgres_url
from plivo_endpoints._validation import require
from plivo_endpoints.provisioning._state._postgres import DEFAULT_FLEET, PostgresState
from plivo_endpoints.provisioning._state._sqlite import SqliteState

if TYPE_CHECKING:
    from os import PathLike


def state_of(given: str | PathLike[str]) -> SqliteState | PostgresState:
    """Return the state in a file, or in a database: `postgresql://user@host/database#fleet`."""
    text = os.fspath(given)
    if not is_postgres_url(text):
        return SqliteState(given)
    url, _, fleet = text.partition("#")
    is_cut = "@" in fleet or "/" in fleet  # such as by a # in the password
    require("state", "must have a # only before the fleet: write %23 elsewhere" if is_cut else None)
    return PostgresState(url, fleet or DEFAULT_FLEET)

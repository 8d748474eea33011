"""The phones in a SQLite database that all workers share, and that decides which of them creates a phone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator

_TABLE = """
CREATE TABLE IF NOT EXISTS phones (
    name TEXT PRIMARY KEY, alias TEXT NOT NULL, sent_at TEXT NOT NULL,
    status TEXT NOT NULL, endpoint_id TEXT, sip_username TEXT
)
"""


class Phone(NamedTuple):
    """A colleague's phone.

    Its status is "creating" from before the create is sent; then "ready", "unknown" if no answer came, or
    "review" if a person has to look. A process that dies leaves it at "creating", which is as unknown.
    """

    name: str
    alias: str
    sent_at: datetime
    status: str
    endpoint_id: str | None
    sip_username: str | None


@contextmanager
def _open() -> Generator[sqlite3.Connection]:
    """Open the database for one transaction; a connection must not cross a fork."""
    path = os.environ.get("PHONES_DB", "phones.db")
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute(_TABLE)
        yield connection


def claim(name: str, alias: str) -> bool:
    """Record that a phone is about to be created; `False` if it has been already."""
    with _open() as database:
        values = (name, alias, datetime.now(UTC).isoformat(), "creating")
        cursor = database.execute(
            "INSERT OR IGNORE INTO phones (name, alias, sent_at, status) VALUES (?, ?, ?, ?)", values
        )
        return cursor.rowcount == 1


def set_ready(name: str, endpoint_id: str, sip_username: str | None) -> None:
    """Record the endpoint of a phone."""
    with _open() as database:
        database.execute(
            "UPDATE phones SET status = 'ready', endpoint_id = ?, sip_username = ? WHERE name = ?",
            (endpoint_id, sip_username, name),
        )


def set_status(name: str, status: str) -> None:
    """Record that a phone is not ready."""
    with _open() as database:
        database.execute("UPDATE phones SET status = ? WHERE name = ?", (status, name))


def remove(alias: str) -> None:
    """Forget a phone that was certainly not created, so that it can be.

    By its alias: the name may have got another phone since.
    """
    with _open() as database:
        database.execute("DELETE FROM phones WHERE alias = ?", (alias,))


def get(name: str) -> Phone | None:
    """Return the phone of a colleague."""
    return next((phone for phone in everything() if phone.name == name), None)


def everything() -> list[Phone]:
    """Return all phones by name."""
    with _open() as database:
        rows = database.execute(
            "SELECT name, alias, sent_at, status, endpoint_id, sip_username FROM phones ORDER BY name"
        )
        return [Phone(row[0], row[1], datetime.fromisoformat(row[2]), *row[3:]) for row in rows]

"""The tables of the SQLite state, and how a new edition of the source replaces the previous one.

A new edition is loaded into a separate table and then taken up as a whole. Rows keep their keys from one
edition to the next, and with them their endpoints; everything else may change.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._columns import (
    COLUMNS,
    FROM_SOURCE,
    UNIQUE,
    entry_of,
    new_entry_of,
    values_of,
)
from plivo_endpoints.provisioning._state._file import APPLICATION, CLOSED
from plivo_endpoints.provisioning._state._protocol import clashes_of
from plivo_endpoints.provisioning._transitions import taken_up

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._protocol import Clash

SCHEMA: Final = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE rows (
        number INTEGER NOT NULL, line INTEGER NOT NULL, key TEXT NOT NULL UNIQUE,
        wanted_username TEXT NOT NULL, wanted_alias TEXT NOT NULL, wanted_app_id TEXT,
        wanted_password TEXT NOT NULL,
        known_username TEXT, known_alias TEXT, known_app_id TEXT, known_password TEXT,
        sent_username TEXT, sent_alias TEXT, sent_app_id TEXT, sent_password TEXT,
        state TEXT NOT NULL, epoch INTEGER NOT NULL, lost INTEGER NOT NULL, intent_at REAL,
        endpoint_id TEXT, made_as TEXT, replaces TEXT, reason TEXT)""",
    "CREATE INDEX rows_by_number ON rows (number)",
    "CREATE INDEX rows_by_username ON rows (wanted_username)",
    "CREATE INDEX rows_by_sent ON rows (sent_username) WHERE sent_username IS NOT NULL",
    "CREATE INDEX rows_by_endpoint ON rows (endpoint_id) WHERE endpoint_id IS NOT NULL",
    "CREATE INDEX rows_by_replaced ON rows (replaces) WHERE replaces IS NOT NULL",
    """CREATE TABLE incoming (
        number INTEGER PRIMARY KEY, line INTEGER NOT NULL, key TEXT NOT NULL UNIQUE,
        wanted_username TEXT NOT NULL UNIQUE, wanted_alias TEXT NOT NULL, wanted_app_id TEXT,
        wanted_password TEXT NOT NULL)""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {CLOSED}",
)
_ROWS: Final = f"SELECT rowid, {', '.join(COLUMNS)} FROM rows WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608 - our own names
_NEW: Final = f"SELECT {', '.join(FROM_SOURCE)} FROM incoming"  # noqa: S608 - our own names
_BATCH: Final = 500


def insert(db: sqlite3.Connection, entry: Entry) -> list[Clash]:
    """Add a row to the new edition, or return its clashes with others."""
    marks = ", ".join("?" * len(FROM_SOURCE))
    with suppress(sqlite3.IntegrityError):
        db.execute(f"INSERT INTO incoming VALUES ({marks})", values_of(entry)[: len(FROM_SOURCE)])  # noqa: S608 - marks
        return []
    firsts: dict[str, Entry] = {}
    for field, column in UNIQUE.items():
        value = entry.key if field == "key" else entry.wanted.username
        row = db.execute(f"{_NEW} WHERE {column} = ?", (value,)).fetchone()
        if row is not None:
            firsts[field] = new_entry_of(row)
    if not firsts:
        raise StateError(f"entry {entry.number} was added twice")
    return clashes_of(entry, firsts)


def take_up(db: sqlite3.Connection) -> None:
    """Replace the previous edition by the new one."""
    # A negative number marks a row that is no longer in the source.
    db.execute("UPDATE rows SET number = -rowid")
    last = 0
    while batch := db.execute(_ROWS, (last, _BATCH)).fetchall():
        for rowid, *row in batch:
            _take_up(db, rowid, entry_of(row))
            last = rowid
    db.execute(
        f"INSERT INTO rows ({', '.join(FROM_SOURCE)}, state, epoch, lost)"  # noqa: S608 - our own names
        " SELECT *, 'new', 0, 0 FROM incoming"
    )
    db.execute("DELETE FROM incoming")


def _take_up(db: sqlite3.Connection, rowid: int, entry: Entry) -> None:
    found = db.execute(f"{_NEW} WHERE key = ?", (entry.key,)).fetchone()
    if found is None:
        after = taken_up(entry, (entry.number, 0), None)
    else:
        new = new_entry_of(found)
        after = taken_up(entry, (new.number, new.line), new.wanted)
        db.execute("DELETE FROM incoming WHERE number = ?", (new.number,))
    if after is None:
        db.execute("DELETE FROM rows WHERE rowid = ?", (rowid,))
    elif after != entry:
        changes = ", ".join(f"{name} = ?" for name in COLUMNS)
        db.execute(f"UPDATE rows SET {changes} WHERE rowid = ?", (*values_of(after), rowid))  # noqa: S608 - our own names

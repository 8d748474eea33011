"""The tables of the SQLite state, and how a new edition of the source replaces the previous one.

A new edition is loaded into a separate table and then taken up as a whole. Rows keep their keys from one
edition to the next, and with them their endpoints; everything else may change.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from plivo_endpoints.provisioning._entries import Entry, RowState, Spec
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._file import APPLICATION, CLOSED
from plivo_endpoints.provisioning._state._protocol import Clash
from plivo_endpoints.provisioning._transitions import taken_up

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE: Final = ("number", "line", "key")
_SPEC: Final = tuple(field.name for field in fields(Spec))
_FLAT: Final = tuple(f"{spec}_{name}" for spec in ("wanted", "known", "sent") for name in _SPEC)
_OTHERS: Final = tuple(
    field.name for field in fields(Entry) if field.name not in {*_PLACE, "wanted", "known", "sent"}
)
COLUMNS: Final = (*_PLACE, *_FLAT, *_OTHERS)
# Positions in a row.
_WANTED, _KNOWN, _SENT, _STATE = range(len(_PLACE), len(_PLACE) + len(_FLAT) + 1, len(_SPEC))
_NO_SPEC: Final = (None,) * len(_SPEC)
_FROM_SOURCE: Final = COLUMNS[: len(_PLACE) + len(_SPEC)]  # the columns that come from the source
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
_UNIQUE: Final = {"username": "wanted_username", "key": "key"}
_ROWS: Final = f"SELECT rowid, {', '.join(COLUMNS)} FROM rows WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608 - our own names
_NEW: Final = f"SELECT {', '.join(_FROM_SOURCE)} FROM incoming"  # noqa: S608 - our own names
_BATCH: Final = 500


def values_of(entry: Entry) -> tuple[str | int | float | None, ...]:
    """Return an entry as a row of the table."""
    # Not `attrs.astuple`, which is slower; and the state is stored by its value.
    return (
        entry.number,
        entry.line,
        entry.key,
        *_values_of_spec(entry.wanted),
        *_values_of_spec(entry.known),
        *_values_of_spec(entry.sent),
        entry.state.value,
        entry.epoch,
        entry.lost,
        entry.intent_at,
        entry.endpoint_id,
        entry.made_as,
        entry.replaces,
        entry.reason,
    )


def _values_of_spec(spec: Spec | None) -> tuple[str | None, ...]:
    return _NO_SPEC if spec is None else (spec.username, spec.alias, spec.app_id, spec.password)


def entry_of(row: Sequence[Any]) -> Entry:
    """Return a row of the table as an entry."""
    number, line, key = row[:_WANTED]
    state, epoch, lost, intent_at, endpoint_id, made_as, replaces, reason = row[_STATE:]
    return Entry(
        number=number,
        line=line,
        key=key,
        wanted=_spec_of(row[_WANTED:_KNOWN]),
        known=None if row[_KNOWN] is None else _spec_of(row[_KNOWN:_SENT]),
        sent=None if row[_SENT] is None else _spec_of(row[_SENT:_STATE]),
        state=RowState(state),
        epoch=epoch,
        lost=lost,
        intent_at=intent_at,
        endpoint_id=endpoint_id,
        made_as=made_as,
        replaces=replaces,
        reason=reason,
    )


def _spec_of(values: Sequence[Any]) -> Spec:
    username, alias, app_id, password = values
    return Spec(username=username, alias=alias, app_id=app_id, password=password)


def _new_entry_of(row: Sequence[Any]) -> Entry:
    """Return a row of the new edition's table as an entry."""
    number, line, key, *wanted = row
    return Entry(number=number, line=line, key=key, wanted=_spec_of(wanted))


def insert(db: sqlite3.Connection, entry: Entry) -> list[Clash]:
    """Add a row to the new edition, or return its clashes with others."""
    marks = ", ".join("?" * len(_FROM_SOURCE))
    with suppress(sqlite3.IntegrityError):
        db.execute(f"INSERT INTO incoming VALUES ({marks})", values_of(entry)[: len(_FROM_SOURCE)])  # noqa: S608 - marks
        return []
    clashes: list[Clash] = []
    for field, column in _UNIQUE.items():
        value = entry.key if field == "key" else entry.wanted.username
        row = db.execute(f"{_NEW} WHERE {column} = ?", (value,)).fetchone()
        if row is not None:
            clashes.append(Clash(entry, field, _new_entry_of(row)))
    if not clashes:
        raise StateError(f"entry {entry.number} was added twice")
    if clashes[0].field == "username" and entry.key == entry.wanted.username:
        return [clash for clash in clashes if clash.field != "key"]  # the key is the username
    return clashes


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
        f"INSERT INTO rows ({', '.join(_FROM_SOURCE)}, state, epoch, lost)"  # noqa: S608 - our own names
        " SELECT *, 'new', 0, 0 FROM incoming"
    )
    db.execute("DELETE FROM incoming")


def _take_up(db: sqlite3.Connection, rowid: int, entry: Entry) -> None:
    found = db.execute(f"{_NEW} WHERE key = ?", (entry.key,)).fetchone()
    if found is None:
        after = taken_up(entry, (entry.number, 0), None)
    else:
        new = _new_entry_of(found)
        after = taken_up(entry, (new.number, new.line), new.wanted)
        db.execute("DELETE FROM incoming WHERE number = ?", (new.number,))
    if after is None:
        db.execute("DELETE FROM rows WHERE rowid = ?", (rowid,))
    elif after != entry:
        changes = ", ".join(f"{name} = ?" for name in COLUMNS)
        db.execute(f"UPDATE rows SET {changes} WHERE rowid = ?", (*values_of(after), rowid))  # noqa: S608 - our own names

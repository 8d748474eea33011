"""The tables of the SQLite journal, and how a new edition of the source takes the place of the one before.

It is filled in beside the rows, and taken up as a whole. Rows keep their keys from one edition to the next,
and with them their endpoints; all else may change.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from plivo_endpoints.provisioning._errors import JournalError
from plivo_endpoints.provisioning._journal import Clash, Refusal
from plivo_endpoints.provisioning._journal_file import APPLICATION, CLOSED
from plivo_endpoints.provisioning._states import Entry, State, Wanted, edited, why_not_edited

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = tuple(field.name for field in fields(Entry))
SCHEMA: Final = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE rows (
        number INTEGER NOT NULL, line INTEGER NOT NULL,
        key TEXT NOT NULL UNIQUE, username TEXT NOT NULL, alias TEXT NOT NULL, app_id TEXT,
        state TEXT NOT NULL, epoch INTEGER NOT NULL, lost INTEGER NOT NULL, intent_at REAL,
        endpoint_id TEXT, made_as TEXT, reason TEXT, edition INTEGER NOT NULL)""",
    "CREATE INDEX rows_by_number ON rows (number)",
    "CREATE INDEX rows_by_alias ON rows (alias)",
    "CREATE INDEX rows_by_endpoint ON rows (endpoint_id) WHERE endpoint_id IS NOT NULL",
    """CREATE TABLE incoming (
        number INTEGER PRIMARY KEY, line INTEGER NOT NULL,
        key TEXT NOT NULL UNIQUE, username TEXT NOT NULL UNIQUE, alias TEXT NOT NULL UNIQUE, app_id TEXT)""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {CLOSED}",
)
_ASKED: Final = COLUMNS[: COLUMNS.index("state")]  # what a source tells of a row
_UNIQUE: Final = ("username", "alias", "key")
_ROWS: Final = ", ".join(f"rows.{name}" for name in COLUMNS)
_DIFFERS: Final = (
    "(incoming.username != rows.username OR incoming.alias != rows.alias"
    " OR incoming.app_id IS NOT rows.app_id)"
)
_PAIRS: Final = (
    f"SELECT {_ROWS}, incoming.key, incoming.username, incoming.alias, incoming.app_id"  # noqa: S608 - our own names
    " FROM rows LEFT JOIN incoming ON incoming.key = rows.key"
)
_REFUSABLE: Final = f"{_PAIRS} WHERE (incoming.key IS NULL AND rows.number > 0) OR {_DIFFERS}"
_EDITED: Final = (
    f"{_PAIRS} WHERE rows.number > ? AND ({_DIFFERS} OR rows.state IN ('new', 'failed', 'conflict'))"
    " ORDER BY rows.number LIMIT ?"
)
_BATCH: Final = 500


def values_of(entry: Entry) -> tuple[str | int | float | None, ...]:
    """Return an entry as a row of the table."""
    # Not attrs' astuple: the state is stored by its value.
    return (
        *(entry.number, entry.line, entry.key, entry.username, entry.alias, entry.app_id),
        *(entry.state.value, entry.epoch, entry.lost, entry.intent_at),
        *(entry.endpoint_id, entry.made_as, entry.reason, entry.edition),
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """Return a row of the table, or the columns of it that there are, as an entry."""
    known: dict[str, Any] = dict(zip(COLUMNS, row, strict=False))
    known["state"] = State(known.get("state", State.NEW))
    return Entry(**known)


def insert(db: sqlite3.Connection, entry: Entry) -> list[Clash]:
    """Add a row to the new edition, or return those that it clashes with."""
    marks = ", ".join("?" * len(_ASKED))
    with suppress(sqlite3.IntegrityError):
        db.execute(f"INSERT INTO incoming VALUES ({marks})", values_of(entry)[: len(_ASKED)])  # noqa: S608 - marks
        return []
    clashes: list[Clash] = []
    for field in _UNIQUE:
        query = f"SELECT {', '.join(_ASKED)} FROM incoming WHERE {field} = ?"  # noqa: S608 - our own names
        row = db.execute(query, (getattr(entry, field),)).fetchone()
        if row is not None:
            clashes.append(Clash(entry, field, entry_of(row)))
    if not clashes:
        raise JournalError(f"entry {entry.number} was added twice")
    if clashes[0].field == "username" and entry.key == entry.username:
        return [clash for clash in clashes if clash.field != "key"]  # without a key of its own, that says it
    return clashes


def find_refusals(db: sqlite3.Connection) -> list[Refusal]:
    """Return what the new edition must not change, and why."""
    refusals: list[Refusal] = []
    for row in db.execute(_REFUSABLE):
        entry = entry_of(row[: len(COLUMNS)])
        if reason := why_not_edited(entry, _wanted(*row[len(COLUMNS) :])):
            refusals.append(Refusal(entry, reason))
    return refusals


def _wanted(key: str | None, username: str, alias: str, app_id: str | None) -> Wanted | None:
    return None if key is None else Wanted(username=username, alias=alias, app_id=app_id)


def take_up(db: sqlite3.Connection, edition: int) -> None:
    """Let the new edition replace the one before."""
    db.execute("UPDATE rows SET number = 0")
    db.execute(
        "UPDATE rows SET (number, line) ="
        " (SELECT number, line FROM incoming WHERE incoming.key = rows.key)"
        " WHERE key IN (SELECT key FROM incoming)"
    )
    changes = ", ".join(f"{name} = ?" for name in COLUMNS)
    last = 0
    while batch := db.execute(_EDITED, (last, _BATCH)).fetchall():
        for row in batch:
            entry, wanted = entry_of(row[: len(COLUMNS)]), _wanted(*row[len(COLUMNS) :])
            if wanted is not None:
                after = edited(entry, wanted, edition)
                db.execute(f"UPDATE rows SET {changes} WHERE key = ?", (*values_of(after), entry.key))  # noqa: S608 - our own names
            last = entry.number
    db.execute(
        f"INSERT INTO rows SELECT {', '.join(_ASKED)}, 'new', 0, 0, NULL, NULL, NULL, NULL, ?"  # noqa: S608 - likewise
        " FROM incoming WHERE key NOT IN (SELECT key FROM rows)",
        (edition,),
    )
    db.execute("DELETE FROM incoming")

"""The tables of states in PostgreSQL; a database can have several fleets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._columns import (
    COLUMNS,
    FROM_SOURCE,
    UNIQUE,
    entry_of,
    new_entry_of,
    values_of,
)
from plivo_endpoints.provisioning._state._protocol import clashes_of
from plivo_endpoints.provisioning._transitions import taken_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import AsyncConnection, AsyncCursor

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._protocol import Clash

    Connection = AsyncConnection[Any]

UPGRADE: Final = "plivo-endpoints provision state upgrade"
_LOCK: Final = 0x504C4550  # a number of ours, for PostgreSQL's advisory locks
# What leads from each version of the tables to the next one; the first creates them.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE plivo_fleets (
            id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, account text,
            leader bigint, shared boolean NOT NULL DEFAULT false, taken_up text)""",
        """CREATE TABLE plivo_facts (
            fleet integer NOT NULL REFERENCES plivo_fleets, name text NOT NULL, value text NOT NULL,
            PRIMARY KEY (fleet, name))""",
        """CREATE TABLE plivo_workers (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            fleet integer NOT NULL REFERENCES plivo_fleets, name text NOT NULL,
            started timestamptz NOT NULL, lease_until timestamptz NOT NULL, done bigint NOT NULL DEFAULT 0,
            rate double precision NOT NULL DEFAULT 0)""",
        """CREATE TABLE plivo_rows (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            fleet integer NOT NULL REFERENCES plivo_fleets, worker bigint,
            number bigint NOT NULL, line bigint NOT NULL, key text NOT NULL,
            wanted_username text NOT NULL, wanted_alias text NOT NULL, wanted_app_id text,
            wanted_password text NOT NULL,
            known_username text, known_alias text, known_app_id text, known_password text,
            sent_username text, sent_alias text, sent_app_id text, sent_password text,
            state text NOT NULL, epoch bigint NOT NULL, lost bigint NOT NULL, intent_at double precision,
            endpoint_id text, made_as text, replaces text, reason text,
            UNIQUE (fleet, key))""",
        "CREATE INDEX plivo_rows_by_number ON plivo_rows (fleet, number)",
        """CREATE INDEX plivo_rows_open ON plivo_rows (fleet, number)
            WHERE state IN ('new', 'intent', 'parked', 'outdated')""",
        "CREATE INDEX plivo_rows_by_username ON plivo_rows (fleet, wanted_username)",
        """CREATE INDEX plivo_rows_by_sent ON plivo_rows (fleet, sent_username)
            WHERE sent_username IS NOT NULL""",
        """CREATE INDEX plivo_rows_by_endpoint ON plivo_rows (fleet, endpoint_id)
            WHERE endpoint_id IS NOT NULL""",
        "CREATE INDEX plivo_rows_by_replaced ON plivo_rows (fleet, replaces) WHERE replaces IS NOT NULL",
        "CREATE INDEX plivo_rows_by_worker ON plivo_rows (fleet, worker) WHERE worker IS NOT NULL",
        """CREATE TABLE plivo_incoming (
            fleet integer NOT NULL REFERENCES plivo_fleets, number bigint NOT NULL, line bigint NOT NULL,
            key text NOT NULL, wanted_username text NOT NULL, wanted_alias text NOT NULL,
            wanted_app_id text, wanted_password text NOT NULL,
            PRIMARY KEY (fleet, number), UNIQUE (fleet, key), UNIQUE (fleet, wanted_username))""",
        "CREATE TABLE plivo_schema (version integer NOT NULL)",
        "INSERT INTO plivo_schema VALUES (0)",
    ),
)
_VERSION: Final = "SELECT version FROM plivo_schema"
# Not `to_regclass`, which may answer from a cache that does not know what another session has just created.
_HAS_TABLES: Final = (
    "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'plivo_schema' AND pg_table_is_visible(oid))"
)
_ENCODING: Final = "SELECT current_setting('server_encoding')"
SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM plivo_rows WHERE fleet = %s"  # noqa: S608 - our own names
_NEW: Final = f"SELECT {', '.join(FROM_SOURCE)} FROM plivo_incoming WHERE fleet = %s"  # noqa: S608 - our own names
_ADD: Final = (
    f"INSERT INTO plivo_incoming (fleet, {', '.join(FROM_SOURCE)})"  # noqa: S608 - our own names
    " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],"
    " %s::text[]) ON CONFLICT DO NOTHING RETURNING number"
)
_EDITIONS: Final = (
    f"SELECT r.id, {', '.join(f'r.{name}' for name in COLUMNS)},"  # noqa: S608 - our own names
    f" {', '.join(f'i.{name}' for name in FROM_SOURCE)}"
    " FROM plivo_rows r LEFT JOIN plivo_incoming i ON i.fleet = r.fleet AND i.key = r.key"
    " WHERE r.fleet = %s AND r.id > %s ORDER BY r.id LIMIT %s FOR UPDATE OF r"
)
_CHANGE: Final = f"UPDATE plivo_rows SET {', '.join(f'{name} = %s' for name in COLUMNS)} WHERE id = %s"  # noqa: S608 - our own names
_BEGIN_NEW: Final = (
    f"INSERT INTO plivo_rows (fleet, {', '.join(FROM_SOURCE)}, state, epoch, lost)"  # noqa: S608 - our own names
    f" SELECT fleet, {', '.join(FROM_SOURCE)}, 'new', 0, 0 FROM plivo_incoming i WHERE fleet = %s"
    " AND NOT EXISTS (SELECT FROM plivo_rows r WHERE r.fleet = i.fleet AND r.key = i.key)"
)
_NOTE: Final = (
    "INSERT INTO plivo_facts VALUES (%s, %s, %s)"
    " ON CONFLICT (fleet, name) DO UPDATE SET value = excluded.value"
)
_BATCH: Final = 500


async def run(connection: Connection, query: str, *values: object) -> AsyncCursor[Any]:
    """Carry out a query."""
    return await connection.execute(
        query.encode(), values
    )  # psycopg takes a plain `str` only if it is literal


async def run_many(connection: Connection, query: str, values: Sequence[Sequence[object]]) -> int:
    """Carry out a query with each of some values; return the number of rows changed."""
    if len(values) == 1:  # in one round trip, as several in a pipeline
        return (await run(connection, query, *values[0])).rowcount
    async with connection.cursor() as cursor:
        await cursor.executemany(query.encode(), values)
        return cursor.rowcount


async def fetch_one(connection: Connection, query: str, *values: object) -> Any:  # noqa: ANN401 - any column
    """Return the first column of the first row of a query; `None` if there is no row."""
    row = await (await run(connection, query, *values)).fetchone()
    return None if row is None else row[0]


async def fetch_all(connection: Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return await (await run(connection, query, *values)).fetchall()


async def check_tables(connection: Connection, name: str, *, create: bool) -> bool:
    """Return whether the tables exist; if they do not, create them if allowed.

    Raises:
        StateError: They belong to another version of this program, or cannot store every text.
    """
    if await fetch_one(connection, _ENCODING) != "UTF8":
        raise StateError(f"{name} cannot store every text: its encoding must be UTF8")
    if not await fetch_one(connection, _HAS_TABLES):
        if create:
            await upgrade(connection)
        return create
    version = await fetch_one(connection, _VERSION)
    if version < len(MIGRATIONS):
        raise StateError(f"{name} has tables of an older version of this program: run `{UPGRADE}`")
    if version > len(MIGRATIONS):
        raise StateError(f"{name} has tables of a newer version of this program: install that version")
    return True


async def upgrade(connection: Connection) -> tuple[int, int]:
    """Create the tables or bring them to the current version; return the versions before and after."""
    await run(connection, "SELECT pg_advisory_xact_lock(%s)", _LOCK)
    before = await fetch_one(connection, _VERSION) if await fetch_one(connection, _HAS_TABLES) else 0
    for migration in MIGRATIONS[before:]:
        for statement in migration:
            await run(connection, statement)
    after = max(before, len(MIGRATIONS))
    await run(connection, "UPDATE plivo_schema SET version = %s", after)
    return before, after


async def find_fleet(connection: Connection, name: str, *, create: bool) -> int | None:
    """Return the number of a fleet; `None` if there is none and it may not be created."""
    if create:
        await run(connection, "INSERT INTO plivo_fleets (name) VALUES (%s) ON CONFLICT DO NOTHING", name)
    found: int | None = await fetch_one(connection, "SELECT id FROM plivo_fleets WHERE name = %s", name)
    return found


async def note(connection: Connection, fleet: int, facts: Mapping[str, str]) -> None:
    """Add or change facts."""
    for name, value in facts.items():
        await run(connection, _NOTE, fleet, name, value)


async def add(connection: Connection, fleet: int, entries: Sequence[Entry]) -> list[Clash]:
    """Add rows to the new edition; return the clashes."""
    if not entries:
        return []
    columns = zip(*(values_of(entry)[: len(FROM_SOURCE)] for entry in entries), strict=True)
    added = {number for (number,) in await fetch_all(connection, _ADD, fleet, *map(list, columns))}
    clashes: list[Clash] = []
    for entry in entries:
        if entry.number in added:
            continue
        firsts: dict[str, Entry] = {}
        for field, column in UNIQUE.items():
            value = entry.key if field == "key" else entry.wanted.username
            for row in await fetch_all(connection, f"{_NEW} AND {column} = %s", fleet, value):
                if row[0] != entry.number:  # else an earlier attempt has added it
                    firsts[field] = new_entry_of(row)
        clashes += clashes_of(entry, firsts)
    return clashes


async def take_up(connection: Connection, fleet: int) -> None:
    """Replace the previous edition by the new one."""
    last = 0
    while batch := await fetch_all(connection, _EDITIONS, fleet, last, _BATCH):
        last = batch[-1][0]
        await _take_up(connection, batch)
    await run(connection, _BEGIN_NEW, fleet)
    await run(connection, "DELETE FROM plivo_incoming WHERE fleet = %s", fleet)


async def _take_up(connection: Connection, batch: Sequence[Sequence[Any]]) -> None:
    changed: list[tuple[object, ...]] = []
    forgotten: list[int] = []
    for row_id, *columns in batch:
        entry, new = entry_of(columns[: len(COLUMNS)]), columns[len(COLUMNS) :]
        if new[0] is None:  # a negative number marks a row that is no longer in the source
            after = taken_up(entry, (-row_id, 0), None)
        else:
            wanted = new_entry_of(new)
            after = taken_up(entry, (wanted.number, wanted.line), wanted.wanted)
        if after is None:
            forgotten.append(row_id)
        elif after != entry:
            changed.append((*values_of(after), row_id))
    await run_many(connection, _CHANGE, changed)
    await run(connection, "DELETE FROM plivo_rows WHERE id = ANY(%s)", forgotten)

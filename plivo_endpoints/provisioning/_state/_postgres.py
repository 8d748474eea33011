"""A state in PostgreSQL, which processes on several hosts can use at once.

One of them leads: it plans, walks the account's list, decides and audits, like the only process of an SQLite
state. The others claim rows to create and update. Two rules make that safe, whatever any clock says and
whenever a process is stopped:

- A row that a worker has claimed is changed only by that worker, any other row only by the leader: every
  change compares worker or leader, state and epoch in the same statement. A process that has lost a row or
  the lead without knowing it cannot change anything.
- The leader decides about lost creates only after it has taken back all claims, and no other process has an
  intent. Nobody claims again before it shares the rows anew.

A lease on the database's clock only says when to take over what a process has left: the rows of a worker
whose lease has ended can be claimed, its intents become lost creates, and its lead is free.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from plivo_endpoints._config import Secret
from plivo_endpoints._postgres import name_database, read_url, remove_password
from plivo_endpoints._validation import require
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state import _claims as claims
from plivo_endpoints.provisioning._state import _postgres_tables as tables
from plivo_endpoints.provisioning._state._claims import Member
from plivo_endpoints.provisioning._state._columns import entry_of
from plivo_endpoints.provisioning._state._database import Database
from plivo_endpoints.provisioning._state._leases import Lease, read_workers
from plivo_endpoints.provisioning._state._protocol import ClaimLostError, opened
from plivo_endpoints.provisioning._state._sqlite import SqliteState, fill

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._database import Work
    from plivo_endpoints.provisioning._state._leases import Worker
    from plivo_endpoints.provisioning._state._postgres_tables import Connection
    from plivo_endpoints.provisioning._state._protocol import Clash, Transition

T = TypeVar("T")

DEFAULT_FLEET: Final = "default"

_FACTS: Final = "SELECT name, value FROM plivo_facts WHERE fleet = %s"
_SUFFIX_LENGTHS: Final = (
    "SELECT DISTINCT length(made_as) - length(known_username) FROM plivo_rows"
    " WHERE fleet = %s AND epoch > 0 AND endpoint_id IS NOT NULL AND starts_with(made_as, known_username)"
    " AND substr(made_as, length(known_username) + 1) ~ '^[0-9]+$'"
)
_COUNT: Final = (
    "SELECT state, count(*) FROM plivo_rows WHERE fleet = %s"
    " AND (number > 0 OR state IN ('intent', 'parked', 'undeleted', 'deleted', 'failed', 'review'))"
    " GROUP BY state"
)
_HELD: Final = (
    "SELECT count(*), count(CASE WHEN number < 0 THEN 1 END) FROM plivo_rows"
    " WHERE fleet = %s AND endpoint_id IS NOT NULL AND state NOT IN ('found', 'deleted')"
)


class PostgresState:
    """A state in a PostgreSQL database, for any number of processes and hosts.

    Start the same `apply` on each host: together they work through the source. Tables are created by the
    first run, if the database's user may do that.

    Args:
        url: The database's URL, `postgresql://user@host/database`. Better than in the URL, the password is in
            `PGPASSWORD` or in the file `~/.pgpass`.
        fleet: The fleet's name, as a database can have several.
        read_only: Open for reading only; also possible while other processes use it.

    Raises:
        InvalidArgumentError: The extra `postgres` is not installed, or the URL is not valid.
    """

    def __init__(self, url: str, fleet: str = DEFAULT_FLEET, *, read_only: bool = False) -> None:
        self.url: Secret = Secret(url)
        del url  # this frame is part of a traceback
        self.name: str = name_database(read_url(self.url, argument="state"))
        require(
            "fleet",
            None if fleet and not set(fleet) & set("@/#") else "must not be empty, nor have @, / or #",
        )
        self.fleet: str = fleet
        self._read_only = read_only
        self._database: Database | None = None  # set while it is open
        self._fleet_id = 0
        self._lease: Lease | None = None
        self._claimed: set[str] = set()  # keys

    def __str__(self) -> str:
        shown = remove_password(self.url.reveal())
        return shown if self.fleet == DEFAULT_FLEET else f"{shown}#{self.fleet}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.fleet!r})"

    async def open(self) -> None:
        """Open it, and lead; see `FleetState`."""
        await self.join()
        try:
            if not self._read_only:
                await self._lead_alone()
        except BaseException:
            await self.close()
            raise

    async def _lead_alone(self) -> None:
        if not await self.lead():
            name = await self._run(lambda connection: claims.leader_of(connection, self._fleet_id))
            raise StateError(f"the state {self.name} is in use by another run: {name or 'it just ended'}")
        if left := await self.revoke_claims():
            raise StateError(f"workers have not finished {left} rows of the state {self.name}: try again")

    async def join(self, *, create: bool = True) -> None:
        """Open it, also if other processes use it; see `JointState`."""
        if self._database is not None:
            raise StateError(f"the state {self.name} is open already")
        self._database = Database(self.url, read_only=self._read_only)
        try:
            await self._database.open()
            await self._find(create=create and not self._read_only)
            if not self._read_only:
                self._lease = Lease(self.url, self._fleet_id)
                await self._lease.begin()
        except BaseException:
            await self.close()
            raise

    async def _find(self, *, create: bool) -> None:
        if not await self._run(lambda connection: self._prepare(connection, create=create)):
            raise StateError(f"there is no state of a fleet {self.fleet!r} in {self.name}")

    async def _prepare(self, connection: Connection, *, create: bool) -> bool:
        if not await tables.check_tables(connection, self.name, create=create):
            return False
        found = await tables.find_fleet(connection, self.fleet, create=create)
        self._fleet_id = found or 0
        return found is not None

    async def close(self) -> None:
        """Finish all writes; give back claims and lead; see `FleetState`."""
        database, lease = self._database, self._lease
        if database is None:
            return
        try:
            await database.close()  # it still needs to know who we are
        finally:
            self._database = self._lease = None
            self._claimed.clear()
            if lease is not None:
                await lease.end()

    def read_only(self) -> PostgresState:
        """See `FleetState`."""
        return PostgresState(self.url.reveal(), self.fleet, read_only=True)

    @asynccontextmanager
    async def scratch_copy(self) -> AsyncGenerator[SqliteState]:
        """See `FleetState`; the copy is a file on this host."""
        async with opened(SqliteState(None)) as scratch:
            look = self.read_only()
            if await look.exists():
                async with opened(look):
                    await fill(scratch, look)
            yield scratch

    async def exists(self) -> bool:
        """Whether a run has begun with it."""
        return await self._run_once(lambda db: self._prepare(db, create=False), read_only=True)

    async def upgrade(self) -> tuple[int, int]:
        """Create or upgrade the tables; return their versions before and after.

        Raises:
            StateError: The database cannot be used, or its user may not do that.
        """
        return await self._run_once(tables.upgrade)

    async def _run_once(self, work: Work[T], *, read_only: bool = False) -> T:
        """Carry out `work` on a connection of its own, whether or not the state is open."""
        database = Database(self.url, read_only=read_only)
        await database.open()
        try:
            return await database.run(work)
        finally:
            await database.close()

    async def lead(self, account: str | None = None) -> bool:
        """See `JointState`."""
        return await self._run(lambda connection: claims.lead(connection, self._member, account))

    async def allow_claims(self) -> None:
        """See `JointState`."""
        await self._run(lambda connection: claims.allow_claims(connection, self._member))

    async def revoke_claims(self) -> int:
        """See `JointState`."""
        self._claimed.clear()
        return await self._run(lambda connection: claims.revoke_claims(connection, self._member))

    async def claim(
        self, *, edition: str, after: int, limit: int, states: Collection[RowState]
    ) -> Sequence[Entry]:
        """See `JointState`."""

        async def work(connection: Connection) -> Sequence[Entry]:
            if not await claims.are_allowed(connection, self._member, edition):
                return []
            return await claims.claim(connection, self._member, after=after, limit=limit, states=states)

        claimed = await self._run(work)
        self._claimed |= {entry.key for entry in claimed}
        return claimed

    async def release_claims(self) -> None:
        """See `JointState`."""
        await self._run(lambda connection: claims.release_claims(connection, self._member))

    async def step_down(self) -> None:
        """See `JointState`."""
        await self._run(lambda connection: claims.step_down(connection, self._member))

    async def stop_claims(self, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """See `JointState`."""

        async def work(connection: Connection) -> None:
            await claims.stop_claims(connection, self._member)  # locks the fleet: no two changes at a time
            facts = dict(await tables.fetch_all(connection, _FACTS, self._fleet_id))
            await tables.note(connection, self._fleet_id, change(facts))

        await self._run(work)

    async def allows_claims(self) -> bool:
        """See `JointState`."""
        query = "SELECT shared FROM plivo_fleets WHERE id = %s"
        return await self._run(lambda connection: tables.fetch_one(connection, query, self._fleet_id))

    async def workers(self) -> Sequence[Worker]:
        """Return the processes that work on the fleet now."""
        return await self._run(lambda connection: read_workers(connection, self._fleet_id))

    def count_done(self, rows: int) -> None:
        """See `JointState`."""
        if self._lease is not None:
            self._lease.done += rows

    async def facts(self) -> Mapping[str, str]:
        """See `FleetState`."""
        return dict(await self._fetch(_FACTS, self._fleet_id))

    async def note(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        await self._run_as_leader(lambda connection: tables.note(connection, self._fleet_id, facts))

    async def clear(self) -> None:
        """See `FleetState`."""
        query = "DELETE FROM plivo_rows WHERE fleet = %s"
        await self._run_as_leader(lambda connection: tables.run(connection, query, self._fleet_id))

    async def discard(self) -> None:
        """See `FleetState`."""
        query = "DELETE FROM plivo_incoming WHERE fleet = %s"
        await self._run_as_leader(lambda connection: tables.run(connection, query, self._fleet_id))

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """See `FleetState`."""
        return await self._run_as_leader(lambda connection: tables.add(connection, self._fleet_id, entries))

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """See `FleetState`."""
        token = uuid4().hex  # to recognise that this change was carried out

        async def work(connection: Connection) -> None:
            query = "UPDATE plivo_fleets SET taken_up = %s WHERE id = %s AND taken_up IS DISTINCT FROM %s"
            done = await tables.run(connection, query, token, self._fleet_id, token)
            if done.rowcount:  # else it was carried out, and only the answer was lost
                await tables.take_up(connection, self._fleet_id)
                await tables.note(connection, self._fleet_id, facts)

        await self._run_as_leader(work)

    async def save(self, changes: Sequence[Transition]) -> None:
        """See `FleetState`."""
        if not changes:
            return
        keys = {before.key for before, _ in changes}
        is_claimed = len(changes) == 1 and keys <= self._claimed
        try:
            await self._run(lambda db: claims.save(db, self._member, changes, is_claimed=is_claimed))
        except ClaimLostError:
            self._claimed -= keys
            raise
        self._claimed -= {after.key for _, after in changes if after.state not in claims.STILL_CLAIMED}

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """See `FleetState`."""
        last = "" if up_to is None else f" AND number <= {up_to:d}"
        query = f"{tables.SELECT} AND number > %s{last} AND state = ANY(%s) ORDER BY number LIMIT %s"
        return await self._select(query, after, [state.value for state in states], limit)

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """See `FleetState`."""
        query = (
            f"{tables.SELECT} AND replaces IS NOT NULL AND endpoint_id IS NOT NULL"
            " AND state = ANY(%s) ORDER BY number LIMIT %s"
        )
        return await self._select(query, [state.value for state in states], limit)

    async def find_key(self, key: str) -> Entry | None:
        """See `FleetState`."""
        found = await self._select(f"{tables.SELECT} AND key = %s", key)
        return found[0] if found else None

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        query = (
            f"{tables.SELECT} AND number > 0 AND wanted_username = ANY(%s)"
            f" UNION {tables.SELECT} AND sent_username = ANY(%s)"
        )
        names = _storable(usernames)
        return await self._select(query, names, self._fleet_id, names)

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """See `FleetState`."""
        query = (
            f"{tables.SELECT} AND endpoint_id = ANY(%s) AND state NOT IN ('found', 'deleted')"
            f" UNION {tables.SELECT} AND replaces = ANY(%s)"
        )
        ids = _storable(endpoint_ids)
        return await self._select(query, ids, self._fleet_id, ids)

    async def suffix_lengths(self) -> Collection[int]:
        """See `FleetState`."""
        return [length for (length,) in await self._fetch(_SUFFIX_LENGTHS, self._fleet_id)]

    async def count(self) -> Mapping[RowState, int]:
        """See `FleetState`."""
        return {RowState(state): number for state, number in await self._fetch(_COUNT, self._fleet_id)}

    async def count_held(self) -> tuple[int, int]:
        """See `FleetState`."""
        ((held, gone),) = await self._fetch(_HELD, self._fleet_id)
        return held, gone

    async def _select(self, query: str, *values: object) -> Sequence[Entry]:
        return [entry_of(row) for row in await self._fetch(query, self._fleet_id, *values)]

    async def _fetch(self, query: str, *values: object) -> Sequence[tuple[Any, ...]]:
        return await self._run(lambda connection: tables.fetch_all(connection, query, *values))

    @property
    def _member(self) -> Member:
        return Member(self._fleet_id, 0 if self._lease is None else self._lease.worker)

    async def _run_as_leader(self, work: Work[T]) -> T:
        async def guarded(connection: Connection) -> T:
            await claims.check_leads(connection, self._member)
            return await work(connection)

        return await self._run(guarded)

    def _run(self, work: Work[T]) -> asyncio.Future[T]:
        if self._database is None:
            raise StateError("the state is closed")
        return self._database.run(work)


def _storable(texts: Collection[str]) -> list[str]:
    """Leave out texts with a null character, which PostgreSQL would refuse and cannot have."""
    return [text for text in texts if "\0" not in text]

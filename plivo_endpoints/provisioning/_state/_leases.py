"""The lease of a worker: while the process lives, it is renewed on the database's clock."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints._postgres import explain, name_database, read_url
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._claims import Member, step_down
from plivo_endpoints.provisioning._state._postgres_tables import fetch_all, fetch_one, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plivo_endpoints._config import Secret
    from plivo_endpoints.provisioning._state._postgres_tables import Connection

LEASE: Final = 15.0  # seconds without a renewal after which others take over
_LEAVE_TIMEOUT: Final = 5.0  # seconds
_RENEWALS: Final = 5  # in the time of a lease
_JOIN: Final = (
    "INSERT INTO plivo_workers (fleet, name, started, lease_until)"
    " VALUES (%s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s)) RETURNING id"
)
_RENEW: Final = (
    "UPDATE plivo_workers SET lease_until = clock_timestamp() + make_interval(secs => %s),"
    " done = %s, rate = %s WHERE id = %s"
)
_FORGET: Final = (
    "DELETE FROM plivo_workers w WHERE fleet = %s AND lease_until < clock_timestamp() - interval '7 days'"
    " AND NOT EXISTS (SELECT FROM plivo_rows r WHERE r.fleet = w.fleet AND r.worker = w.id)"
)
_LEAVE: Final = "DELETE FROM plivo_workers WHERE id = %s"
_READ: Final = (
    "SELECT w.name, extract(epoch FROM clock_timestamp() - w.started)::float8,"
    " extract(epoch FROM w.lease_until - clock_timestamp())::float8, w.done, w.rate, f.leader = w.id"
    " FROM plivo_workers w JOIN plivo_fleets f ON f.id = w.fleet"
    " WHERE w.fleet = %s AND w.lease_until > clock_timestamp() ORDER BY w.started"
)


@frozen
class Worker:
    """A process that works on a fleet.

    Attributes:
        name: Its host and process id.
        age: Seconds since it began.
        lease: Seconds until others take over its rows, unless it renews its lease.
        done: Number of rows that it has finished.
        rate: Rows per second that it finishes now.
        leads: Whether it plans, decides and audits for all.
    """

    name: str
    age: float
    lease: float
    done: int
    rate: float
    leads: bool


async def read_workers(connection: Connection, fleet: int) -> Sequence[Worker]:
    """Return the workers that are alive."""
    rows = await fetch_all(connection, _READ, fleet)
    return [Worker(name, age, lease, done, rate, bool(leads)) for name, age, lease, done, rate, leads in rows]


class Lease:
    """Registers this process as a worker, and renews its lease on a connection of its own.

    The other connection may be busy for a minute, as when a large source is taken up.
    """

    def __init__(self, url: Secret, fleet: int) -> None:
        self._url = url
        self._fleet = fleet
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.worker: int = 0
        self.done: int = 0  # rows

    async def begin(self) -> None:
        """Register; raise `StateError` if that is impossible now."""
        name = f"process {os.getpid()} on {socket.gethostname()}"
        problem = None
        try:
            connection = await self._connect()
            self.worker = await fetch_one(connection, _JOIN, self._fleet, name, LEASE)
            await run(connection, _FORGET, self._fleet)
        except Exception as error:  # noqa: BLE001 - whatever it is, the database cannot be used
            problem = explain(error)
        if problem is not None:  # raised here, as the frames of psycopg's error hold the password
            await self._disconnect()
            raise StateError(f"cannot use {name_database(read_url(self._url, argument='state'))}: {problem}")
        self._task = asyncio.create_task(self._renew())

    async def end(self) -> None:
        """Leave, and let others go on at once."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait({self._task})
            with suppress(Exception):  # then the lease ends by itself
                async with asyncio.timeout(_LEAVE_TIMEOUT):
                    connection = await self._connect()
                    await step_down(connection, Member(self._fleet, self.worker))
                    await run(connection, _LEAVE, self.worker)
        finally:
            await self._disconnect()

    async def _renew(self) -> None:
        before, since = self.done, time.monotonic()
        while True:
            await asyncio.sleep(LEASE / _RENEWALS)
            done, now = self.done, time.monotonic()
            rate = (done - before) / (now - since)
            try:
                connection = await self._connect()
                await run(connection, _RENEW, LEASE, done, rate, self.worker)
            except Exception:  # noqa: BLE001 - the other connection reports it
                await self._disconnect()
            else:
                before, since = done, now

    async def _connect(self) -> Connection:
        from psycopg import AsyncConnection  # noqa: PLC0415 - an extra

        if self._connection is None or self._connection.closed:
            parameters = read_url(self._url, argument="state")
            self._connection = await AsyncConnection.connect(**parameters, autocommit=True)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

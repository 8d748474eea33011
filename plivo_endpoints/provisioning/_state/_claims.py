"""Who may change which rows of a state in PostgreSQL: the leader, and the workers that have claimed some.

Each function is part of a transaction, and may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._columns import COLUMNS, FIXED, entry_of, values_of
from plivo_endpoints.provisioning._state._postgres_tables import fetch_all, fetch_one, run, run_many
from plivo_endpoints.provisioning._state._protocol import ClaimLostError, LeadershipLostError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._postgres_tables import Connection
    from plivo_endpoints.provisioning._state._protocol import Transition

# A worker keeps its claim as long as there is something left to do for it with the row.
STILL_CLAIMED: Final = frozenset({RowState.NEW, RowState.INTENT, RowState.OUTDATED})
_REPLACE: Final = (
    f"UPDATE plivo_rows SET {', '.join(f'{name} = %s' for name in COLUMNS[FIXED:])},"  # noqa: S608 - our own names
    " worker = CASE WHEN %s THEN worker END WHERE fleet = %s AND key = %s AND state = %s AND epoch = %s"
    " AND coalesce(worker, (SELECT leader FROM plivo_fleets f WHERE f.id = fleet)) = %s"
)
_WITH_WORKER: Final = f"SELECT worker, {', '.join(COLUMNS)} FROM plivo_rows WHERE fleet = %s AND key = %s"  # noqa: S608 - our own names
# Of the time of the statement, as one that has to wait for a lock sees leases as they were when it began.
_ALIVE: Final = "SELECT id FROM plivo_workers WHERE lease_until > statement_timestamp()"
_CLAIM: Final = (
    "WITH chosen AS (SELECT id FROM plivo_rows WHERE fleet = %s AND number > %s AND state = ANY(%s)"  # noqa: S608 - our own names
    f" AND (worker IS NULL OR worker = %s OR worker NOT IN ({_ALIVE}))"
    " ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED)"
    " UPDATE plivo_rows r SET worker = %s FROM chosen WHERE r.id = chosen.id"
    f" RETURNING {', '.join(f'r.{name}' for name in COLUMNS)}"
)
_REVOKE: Final = (
    "UPDATE plivo_rows SET worker = NULL WHERE fleet = %s AND worker IS NOT NULL"  # noqa: S608 - our own names
    f" AND (state <> 'intent' OR worker NOT IN ({_ALIVE}))"
)
_LEAD: Final = (
    "UPDATE plivo_fleets SET leader = %s, account = %s WHERE id = %s"  # noqa: S608 - our own names
    f" AND (leader IS NULL OR leader = %s OR leader NOT IN ({_ALIVE})) RETURNING id"
)
_OTHER_FLEET: Final = (
    f"SELECT name FROM plivo_fleets WHERE account = %s AND id <> %s AND leader IN ({_ALIVE})"  # noqa: S608 - our own names
)


@frozen
class Member:
    """A worker of a fleet: its numbers in the database."""

    fleet: int
    worker: int


async def check_leads(connection: Connection, member: Member) -> None:
    """Raise `LeadershipLostError` unless this worker leads; it does so until the end of the transaction."""
    query = "SELECT id FROM plivo_fleets WHERE id = %s AND leader = %s FOR SHARE"
    if await fetch_one(connection, query, member.fleet, member.worker) is None:
        raise LeadershipLostError("another process has taken over this run")


async def lead(connection: Connection, member: Member, account: str | None) -> bool:
    """Make this worker the leader, unless another one is; return whether it leads.

    Raises:
        StateError: Another fleet has a leader, and works on the same account.
    """
    if account is not None:  # one fleet at a time, or each would miss the other's lead
        await run(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", account)
    values = (member.worker, account, member.fleet, member.worker)
    if await fetch_one(connection, _LEAD, *values) is None:
        return False
    other = await fetch_one(connection, _OTHER_FLEET, account, member.fleet)
    if other is not None:
        raise StateError(f"another run works on this account, for the fleet {other!r}")
    return True


async def allow_claims(connection: Connection, member: Member) -> None:
    """Let workers claim rows."""
    await check_leads(connection, member)
    await run(connection, "UPDATE plivo_fleets SET shared = true WHERE id = %s", member.fleet)


async def stop_claims(connection: Connection, member: Member) -> None:
    """Let no worker claim rows."""
    await run(connection, "UPDATE plivo_fleets SET shared = false WHERE id = %s", member.fleet)


async def revoke_claims(connection: Connection, member: Member) -> int:
    """Let no worker claim rows, and take back all that have no intent of a live worker; count the others."""
    await check_leads(connection, member)
    await stop_claims(connection, member)  # waits for claims under way, which the next statement then sees
    await run(connection, _REVOKE, member.fleet)
    left = "SELECT count(*) FROM plivo_rows WHERE fleet = %s AND worker IS NOT NULL"
    count: int = await fetch_one(connection, left, member.fleet)
    return count


async def are_allowed(connection: Connection, member: Member, edition: str) -> bool:
    """Whether the rows of an edition of the source can be claimed, until the end of the transaction."""
    # The lock makes `revoke_claims` wait for this transaction; or this waits, and finds them not shared.
    shared = "SELECT id FROM plivo_fleets WHERE id = %s AND shared FOR SHARE"
    if await fetch_one(connection, shared, member.fleet) is None:
        return False
    # An edition is taken up only while rows are not shared.
    digest = "SELECT value FROM plivo_facts WHERE fleet = %s AND name = 'digest' AND value = %s"
    return await fetch_one(connection, digest, member.fleet, edition) is not None


async def claim(
    connection: Connection, member: Member, *, after: int, limit: int, states: Collection[RowState]
) -> Sequence[Entry]:
    """Reserve rows for this worker that no live worker has."""
    names = [state.value for state in states]
    values = (member.fleet, after, names, member.worker, limit, member.worker)
    rows = await fetch_all(connection, _CLAIM, *values)
    return sorted(map(entry_of, rows), key=lambda entry: entry.number)


async def save(
    connection: Connection, member: Member, changes: Sequence[Transition], *, is_claimed: bool
) -> None:
    """Replace rows that are this worker's, or that no worker has if it leads.

    Raises:
        ClaimLostError: The row, which this worker had claimed, is no longer its own.
        LeadershipLostError: This worker no longer leads.
        StateError: A row that no worker had claimed was changed all the same.
    """
    values = [
        (
            *_stored(after),
            after.state in STILL_CLAIMED,
            *(member.fleet, before.key, before.state.value, before.epoch, member.worker),
        )
        for before, after in changes
    ]
    if await run_many(connection, _REPLACE, values) == len(changes):
        return
    for before, after in changes:
        if not await _is_done(connection, member, after, is_claimed=is_claimed):
            if is_claimed:
                raise ClaimLostError(f"row {before.number} was taken by another process")
            await check_leads(connection, member)
            raise StateError(f"row {before.number} was changed by another process")


async def _is_done(connection: Connection, member: Member, after: Entry, *, is_claimed: bool) -> bool:
    """Whether a change was carried out already, in a transaction whose answer was lost."""
    expected = member.worker if is_claimed and after.state in STILL_CLAIMED else None
    rows = await fetch_all(connection, _WITH_WORKER, member.fleet, after.key)
    return any(
        worker == expected and _stored(entry_of(columns)) == _stored(after) for worker, *columns in rows
    )


def _stored(entry: Entry) -> tuple[str | int | float | None, ...]:
    """Return the values of an entry that may change; PostgreSQL cannot store a null character."""
    values = values_of(entry)[FIXED:]
    return tuple(each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in values)


async def release_claims(connection: Connection, member: Member) -> None:
    """Give back the rows that this worker has claimed and not begun."""
    query = "UPDATE plivo_rows SET worker = NULL WHERE fleet = %s AND worker = %s AND state <> 'intent'"
    await run(connection, query, member.fleet, member.worker)


async def step_down(connection: Connection, member: Member) -> None:
    """Give back what this worker has claimed, and the lead if it has that."""
    await release_claims(connection, member)
    query = "UPDATE plivo_fleets SET leader = NULL, shared = false WHERE id = %s AND leader = %s"
    await run(connection, query, member.fleet, member.worker)


async def leader_of(connection: Connection, fleet: int) -> str | None:
    """Return the name of the worker that leads."""
    query = f"SELECT w.name FROM plivo_workers w JOIN plivo_fleets f ON f.leader = w.id WHERE f.id = %s AND w.id IN ({_ALIVE})"  # noqa: S608, E501 - our own names
    name: str | None = await fetch_one(connection, query, fleet)
    return name

"""The operations of a fleet other than plan and apply: report, audit, drift, duplicates, imports."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints._validation import suffix_length
from plivo_endpoints.provisioning._account_lock import account_locked
from plivo_endpoints.provisioning._attach import check_account
from plivo_endpoints.provisioning._audit import (
    audit_account,
    delete_duplicates,
    note_duplicates,
    read_duplicates,
)
from plivo_endpoints.provisioning._entries import Found, RowState
from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._matching import plausible_suffixes
from plivo_endpoints.provisioning._plan import read_drift
from plivo_endpoints.provisioning._reach import account_of, spend_rate_limit
from plivo_endpoints.provisioning._report import Report, by_status, outcome_of
from plivo_endpoints.provisioning._sharing import own_account
from plivo_endpoints.provisioning._state._postgres import PostgresState
from plivo_endpoints.provisioning._state._protocol import batches, opened
from plivo_endpoints.provisioning._survey import compare
from plivo_endpoints.provisioning._transitions import given_away, looked_for_again, settled_on

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._report import Duplicate, Outcome
    from plivo_endpoints.provisioning._state._leases import Worker
    from plivo_endpoints.provisioning._state._protocol import FleetState, Transition
    from plivo_endpoints.provisioning._steps import Step

_UNFINISHED: Final = {RowState.INTENT, RowState.PARKED, RowState.DELETING, RowState.UNDELETED}


async def read_report(state: FleetState) -> Report:
    """Return a fleet's report: see `AsyncFleet.report`."""
    async with opened(state.read_only()) as known:
        return await _report(known)


async def read_workers(state: FleetState) -> tuple[Worker, ...]:
    """Return the processes that work on a fleet now: see `AsyncFleet.workers`."""
    if not isinstance(state, PostgresState):
        return ()
    async with opened(state.read_only()) as known:
        return tuple(await known.workers())


async def is_done(state: PostgresState) -> bool | None:
    """Whether the fleet's run has ended; `None` if none has begun, and no source was enqueued."""
    known = state.read_only()
    if not await known.exists():
        return None
    async with opened(known):
        facts = await known.facts()
    return facts.get("done") == "yes" if facts else None


async def audit(client: AsyncClient, state: FleetState) -> Report:
    """Compare account and state: see `AsyncFleet.audit`."""
    async with _own(client, state) as known:
        await audit_account(client, known)
        return await _report(known)


async def delete_found_duplicates(client: AsyncClient, state: FleetState) -> tuple[Duplicate, ...]:
    """Delete the duplicates that the last audit found: see `AsyncFleet.delete_duplicates`."""
    async with _own(client, state) as known:
        duplicates = read_duplicates(await known.facts())
        deleted: list[Duplicate] = []
        try:
            async for duplicate in delete_duplicates(client, known, duplicates):
                deleted.append(duplicate)  # noqa: PERF401 - kept even if the next one raises
        finally:
            await note_duplicates(known, [duplicate for duplicate in duplicates if duplicate not in deleted])
        return tuple(deleted)


async def find_drift(client: AsyncClient, state: FleetState) -> tuple[Step, ...]:
    """Return what has changed on the account: see `AsyncFleet.drift`."""
    async with state.scratch_copy() as scratch:
        check_account(await scratch.facts(), account_of(client))
        async with aclosing(batches(scratch, RowState.VANISHED)) as vanished:
            async for batch in vanished:  # they may be back
                await scratch.save([(entry, looked_for_again(entry)) for entry in batch])
        await compare(client, scratch)
        return await read_drift(scratch)


async def import_endpoints(
    client: AsyncClient, state: FleetState, pairs: Mapping[str, str]
) -> tuple[Outcome, ...]:
    """Assign endpoints to rows: see `AsyncFleet.import_endpoints`."""
    if len(set(pairs.values())) < len(pairs):
        raise ProvisioningError("an endpoint can be assigned to one key only")
    async with _own(client, state) as known:
        chosen: list[Entry] = []
        changes: list[Transition] = []
        for key, endpoint_id in pairs.items():
            entry, holders = await _entries_of(known, key, endpoint_id)
            found = await _fetch_endpoint(client, known, entry, endpoint_id)
            if (
                entry.has_endpoint
                and entry.endpoint_id != endpoint_id
                and entry.state is not RowState.VANISHED
            ):
                raise ProvisioningError(f"{key!r} has endpoint {entry.endpoint_id} already")
            chosen.append(settled_on(entry, found))
            changes += [(entry, chosen[-1]), *((holder, given_away(holder)) for holder in holders)]
        await known.save(changes)
        return tuple(map(outcome_of, chosen))


async def _entries_of(known: FleetState, key: str, endpoint_id: str) -> tuple[Entry, list[Entry]]:
    """Return the entry of a key, and the current holders of the endpoint, if it may be taken from them."""
    entry = await known.find_key(key)
    if entry is None or entry.is_gone:
        raise ProvisioningError(f"the state has no key {key!r}: apply the source first")
    holders = [each for each in await known.holders([endpoint_id]) if each.key != key]
    for holder in holders:
        if not holder.is_gone:
            raise ProvisioningError(f"endpoint {endpoint_id} belongs to {holder.key!r}")
    for each in (entry, *holders):
        if each.is_gone and each.state in {RowState.DELETING, RowState.UNDELETED}:
            raise ProvisioningError(
                f"endpoint {endpoint_id} is being deleted for {each.key!r}: apply with delete first"
            )
        if each.state in _UNFINISHED or each.replaces is not None:
            raise ProvisioningError(f"a run has not finished with {each.key!r}: apply the source first")
    return entry, holders


async def _fetch_endpoint(client: AsyncClient, known: FleetState, entry: Entry, endpoint_id: str) -> Found:
    """Return an endpoint of the account, if Plivo can have made its username from the row's."""
    try:
        endpoint = await client.endpoints.get(endpoint_id)
    except NotFoundError:
        raise ProvisioningError(f"the account has no endpoint {endpoint_id}") from None
    found = Found(endpoint_id, endpoint.username or "", endpoint.alias or "", endpoint.application_id)
    username = entry.wanted.username
    if suffix_length(username, found.username) not in await plausible_suffixes(known):
        raise ProvisioningError(
            f"endpoint {endpoint_id} has the username {found.username}, but {entry.key!r} wants {username!r}"
        )
    return found


@asynccontextmanager
async def _own(client: AsyncClient, state: FleetState) -> AsyncGenerator[FleetState]:
    async with opened(state.read_only()):  # do not create a state if there is none
        pass
    account = account_of(client)
    with account_locked(account):
        async with opened(state):
            await own_account(state, client)
            check_account(await state.facts(), account)
            spend_rate_limit(client)
            yield state


async def _report(state: FleetState) -> Report:
    facts = await state.facts()
    _, gone = await state.count_held()
    return Report(
        counts=by_status(await state.count()),
        duplicates=read_duplicates(facts),
        audited=bool(facts.get("audited")),
        gone=gone,
        appeared=int(facts.get("appeared") or 0),
    )

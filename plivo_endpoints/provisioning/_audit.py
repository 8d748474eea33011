"""The audit: a complete walk that compares account and state, and the deletion of the duplicates it found.

Its conclusions are pure functions (`Findings` and below), so the tests can explore every account.
"""

from __future__ import annotations

import json
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import asdict, frozen

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import HELD, RowState
from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._listing import walk
from plivo_endpoints.provisioning._matching import is_made_from, known_suffixes, matches, may_be
from plivo_endpoints.provisioning._outage import retry_transient
from plivo_endpoints.provisioning._report import Duplicate
from plivo_endpoints.provisioning._state._protocol import batches
from plivo_endpoints.provisioning._strangers import IdSet, Present, find_strangers
from plivo_endpoints.provisioning._workers import map_concurrently

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Endpoint
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import EntryStore, Transition

NOT_AUDITED: Final = {"audited": "", "appeared": ""}


@frozen
class Audit:
    """What an audit found: the duplicates, and how many endpoints appeared that belong to no row."""

    duplicates: tuple[Duplicate, ...]
    appeared: int


async def audit_account(client: AsyncClient, state: EntryStore, present: Present | None = None) -> Audit:
    """Check that each finished row has exactly one endpoint; return what was found.

    Endpoints that the list does not show (it may lag) are fetched by id. A row needs review if its endpoint
    is gone or no longer its own, or if it failed but an endpoint of it seems to exist. Other endpoints that
    match such a row are not duplicates, as they may be all that it has.

    Args:
        client: The client of the account.
        state: Has the rows.
        present: The endpoints that existed when the run began. If unknown, none counts as having appeared.

    Raises:
        ProvisioningError: No walk was complete, so a duplicate could be overlooked. Nothing was changed.
    """
    counts_strangers = present is not None and present.is_known
    await state.note(NOT_AUDITED if counts_strangers else {"audited": ""})
    rows, suffixes = sum((await state.count()).values()), await known_suffixes(state)
    findings, appeared = Findings(rows, suffixes), IdSet()

    async def visit(page: list[Found]) -> None:
        pairs = await matches(state, page, suffixes)
        for entry, found, holder in pairs:
            if holder is None:
                findings.add(entry, found)
        if present is not None and present.is_known:
            new = [found for found in page if found.endpoint_id not in present]
            appeared.update(await find_strangers(state, new, pairs, suffixes))

    async def forget() -> None:
        nonlocal findings, appeared
        findings, appeared = Findings(rows, suffixes), IdSet()

    if reason := await walk(client, visit, forget=forget):
        raise ProvisioningError(f"the audit is not complete and could overlook a duplicate: {reason}")
    await _restore(client, state)
    await state.save(findings.changes_of_failed())
    doubted: set[str] = set()
    async with aclosing(batches(state, *HELD)) as held:
        async for batch in held:
            doubted |= await _check_unseen(
                client, state, [entry for entry in batch if findings.is_unseen(entry)]
            )
    duplicates = findings.duplicates(doubted)
    await note_duplicates(state, duplicates)
    # Without strangers to count, the number that the last run found stays.
    news = {"appeared": str(len(appeared))} if counts_strangers else {}
    await state.note({"audited": "yes", **news})
    return Audit(duplicates, len(appeared))


async def _check_unseen(client: AsyncClient, state: EntryStore, unseen: list[Entry]) -> set[str]:
    """Fetch the endpoints that the walk did not show; return the keys of rows that lost theirs."""
    mismatches = await map_concurrently(partial(_fetch_mismatch, client), unseen)
    changes = [
        (entry, states.doubted(entry, mismatch))
        for entry, mismatch in zip(unseen, mismatches, strict=True)
        if mismatch
    ]
    await state.save(changes)
    return {entry.key for entry, _ in changes}


async def _restore(client: AsyncClient, state: EntryStore) -> None:
    """Check the endpoints of rows under review again: somebody may have fixed them."""
    async with aclosing(batches(state, RowState.REVIEW)) as reviewed:
        async for batch in reviewed:
            doubted = [entry for entry in batch if entry.endpoint_id]
            mismatches = await map_concurrently(partial(_fetch_mismatch, client), doubted)
            right = [entry for entry, mismatch in zip(doubted, mismatches, strict=True) if mismatch is None]
            await state.save([(entry, states.restored(entry)) for entry in right])


async def _fetch_mismatch(client: AsyncClient, entry: Entry) -> str | None:
    try:
        endpoint = await retry_transient(lambda: client.endpoints.get(entry.endpoint_id or ""))
    except NotFoundError:
        endpoint = None
    return find_mismatch(entry, endpoint)


async def delete_duplicates(
    client: AsyncClient, state: EntryStore, duplicates: tuple[Duplicate, ...]
) -> AsyncGenerator[Duplicate]:
    """Delete duplicates and yield those deleted.

    One that has a registered phone or has changed since the audit stays. So does one whose row does not have,
    at this moment, the endpoint that the state holds for it.
    """
    for duplicate in duplicates:
        with suppress(NotFoundError):
            if not await _has_its_own(client, state, duplicate):
                continue
            if is_idle_duplicate(duplicate, await client.endpoints.get(duplicate.endpoint_id)):
                await client.endpoints.delete(duplicate.endpoint_id)
                yield duplicate


async def _has_its_own(client: AsyncClient, state: EntryStore, duplicate: Duplicate) -> bool:
    for entry in await state.holders([duplicate.kept or ""]):
        if is_kept(entry, duplicate):
            return await _fetch_mismatch(client, entry) is None
    return False


async def note_duplicates(state: EntryStore, duplicates: Iterable[Duplicate]) -> None:
    """Record the current duplicates in the state."""
    await state.note({"duplicates": json.dumps([asdict(duplicate) for duplicate in duplicates])})


def read_duplicates(facts: Mapping[str, str]) -> tuple[Duplicate, ...]:
    """Return the duplicates that the last audit recorded."""
    return tuple(Duplicate(**each) for each in json.loads(facts.get("duplicates", "[]")))


class Findings:
    """What a walk of the account's list shows about the rows."""

    def __init__(self, rows: int, suffixes: Collection[int]) -> None:
        self._suffixes = suffixes  # how many digits Plivo is known to append
        self._seen = bytearray(rows + 1)  # by number; a set would take more memory
        self._duplicates: dict[str, Duplicate] = {}
        self._failed: dict[int, tuple[Entry, set[str]]] = {}

    def add(self, entry: Entry, found: Found) -> None:
        """Add an endpoint that has a row's username; adding it twice does no harm."""
        if found.endpoint_id in {entry.endpoint_id, entry.replaces}:
            if not entry.is_gone:
                self._seen[entry.number] = found.alias == entry.sought.alias
        elif entry.is_gone or not may_be(entry, found, self._suffixes):
            return
        elif entry.state in HELD:
            self._duplicates[found.endpoint_id] = _duplicate(entry, found)
        elif entry.state is RowState.FAILED:
            self._failed.setdefault(entry.number, (entry, set()))[1].add(found.endpoint_id)

    def changes_of_failed(self) -> Sequence[Transition]:
        """Return the changes to rows that failed but for which an endpoint seems to exist."""
        return [(entry, states.found_after_all(entry, ids)) for entry, ids in self._failed.values()]

    def is_unseen(self, entry: Entry) -> bool:
        """Whether the walk did not show a finished row's endpoint."""
        return not self._seen[entry.number]

    def duplicates(self, doubted: Collection[str]) -> tuple[Duplicate, ...]:
        """Return the duplicates, except those of rows with a doubted key."""
        return tuple(duplicate for duplicate in self._duplicates.values() if duplicate.key not in doubted)


def find_mismatch(entry: Entry, endpoint: Endpoint | None) -> str | None:
    """Return why the endpoint with a finished row's id is not the row's, or `None` if it is."""
    if endpoint is None:
        return f"its endpoint {entry.endpoint_id} no longer exists"
    if endpoint.alias != entry.sought.alias:
        return f"its endpoint {entry.endpoint_id} now has another alias"
    if not is_made_from(entry.sought.username, endpoint.username or ""):
        return f"its endpoint {entry.endpoint_id} now has the username {endpoint.username}"
    return None


def is_kept(entry: Entry, duplicate: Duplicate) -> bool:
    """Whether the state still holds the endpoint that a duplicate was compared with, and that one stays."""
    return (
        entry.state in HELD and entry.endpoint_id == duplicate.kept and _may_go(entry, duplicate.endpoint_id)
    )


def is_idle_duplicate(duplicate: Duplicate, endpoint: Endpoint) -> bool:
    """Whether a duplicate is as the audit found it and certainly has no registered phone."""
    same = (endpoint.alias, endpoint.username) == (duplicate.alias, duplicate.username)
    return same and endpoint.sip_registered is False


def _may_go(entry: Entry, endpoint_id: str) -> bool:
    """Whether a lost create of this row can have made the endpoint, and the row's own is the one to keep."""
    return entry.lost > 0 and _age(entry.endpoint_id or "") < _age(endpoint_id)


def _age(endpoint_id: str) -> tuple[int, str]:
    # Orders numbers by size; other ids get some order that is the same in all runs.
    return len(endpoint_id), endpoint_id


def _duplicate(entry: Entry, found: Found) -> Duplicate:
    return Duplicate(
        key=entry.key,
        endpoint_id=found.endpoint_id,
        username=found.username,
        alias=found.alias,
        kept=entry.endpoint_id,
        deletable=_may_go(entry, found.endpoint_id),
    )

"""The walk before a run: compare the rows with the endpoints that are on the account."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import KEPT, Found, RowState
from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._listing import walk
from plivo_endpoints.provisioning._matching import matches, plausible_suffixes
from plivo_endpoints.provisioning._outage import retry_transient
from plivo_endpoints.provisioning._state._protocol import batches
from plivo_endpoints.provisioning._workers import map_concurrently

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._protocol import EntryStore
    from plivo_endpoints.provisioning._strangers import Present

_LOOKED_FOR: Final = (RowState.NEW, RowState.FOUND, RowState.CONFLICT, RowState.RENAMED)


async def compare(client: AsyncClient, state: EntryStore, present: Present | None = None) -> None:
    """Compare the rows with the account's endpoints, in one walk of its list.

    A row's own endpoint is recognised by its id and may have changed. For rows that have none, endpoints with
    their username are considered. Endpoints that the list does not show (it may lag) are fetched by id.

    Args:
        client: The client of the account.
        state: Has the rows.
        present: Receives all endpoints that the walk shows.
    """
    survey = _Survey(state, await plausible_suffixes(state), present)
    await survey.forget()  # the results of an unfinished comparison
    counts = await state.count()
    if not any(counts.get(row_state) for row_state in {*KEPT, *_LOOKED_FOR}):
        return
    if gap := await walk(client, survey.visit, forget=survey.forget):
        raise ProvisioningError(f"the account's endpoints could not be listed completely: {gap}")
    if present is not None:
        present.is_known = True
    await survey.fetch_unseen(client)


class _Numbers:
    """A set of row numbers; a built-in set would take more memory."""

    def __init__(self) -> None:
        self._are_in = bytearray()

    def add(self, number: int) -> None:
        self._are_in.extend(bytes(max(0, number + 1 - len(self._are_in))))
        self._are_in[number] = 1

    def __contains__(self, number: int) -> bool:
        return number < len(self._are_in) and self._are_in[number] == 1


class _Survey:
    def __init__(self, state: EntryStore, suffixes: Collection[int], present: Present | None) -> None:
        self._state = state
        self._present = present
        self._suffixes = suffixes
        self._seen = _Numbers()
        self._met: dict[str, set[str]] = {}  # by key, the endpoints met for rows in conflict

    async def visit(self, page: list[Found]) -> None:
        """Process a page of the list."""
        if self._present is not None:
            self._present.update(found.endpoint_id for found in page)
        changed: dict[str, tuple[Entry, Entry]] = {}  # by key, as two endpoints of a page may match one row
        by_id = {found.endpoint_id: found for found in page}
        for entry in await self._state.holders(by_id):
            found = by_id.get(entry.endpoint_id or "")
            if found is not None and entry.state in KEPT and not entry.is_gone:
                self._seen.add(entry.number)
                changed[entry.key] = (entry, states.shown(entry, found))
        pairs = [
            (entry, found, holder)
            for entry, found, holder in await matches(self._state, page, self._suffixes)
            if _is_looked_for(entry, found, holder)
        ]
        rows = Counter(found.endpoint_id for _, found, _ in pairs)
        for entry, found, holder in pairs:
            _, known = changed.get(entry.key, (entry, entry))
            is_contested = rows[found.endpoint_id] > 1
            after = states.contested(known, found) if is_contested else self._match(known, found, holder)
            changed[entry.key] = (entry, after)
        if changes := [(before, after) for before, after in changed.values() if after != before]:
            await self._state.save(changes)

    def _match(self, entry: Entry, found: Found, holder: Entry | None) -> Entry:
        met = self._met.get(entry.key, set())
        if entry.state is RowState.FOUND:
            met = met | {entry.endpoint_id or ""}
        met = met | {found.endpoint_id}
        if holder is not None and len(met) == 1:
            after = states.claimed(entry, found, holder)
        else:
            after = states.matched(entry, found, met)
        if after.state is not RowState.FOUND:  # a row in FOUND stores what it met in `endpoint_id`
            self._met[entry.key] = met
        return after

    async def forget(self) -> None:
        """Start over."""
        self._met.clear()
        self._seen = _Numbers()
        async with aclosing(batches(self._state, RowState.FOUND, RowState.CONFLICT)) as matched:
            async for batch in matched:
                await self._state.save([(entry, states.unmatched(entry)) for entry in batch])

    async def fetch_unseen(self, client: AsyncClient) -> None:
        """Fetch the endpoints of rows that the walk did not show."""
        async with aclosing(batches(self._state, *KEPT)) as kept:
            async for batch in kept:
                unseen = [entry for entry in batch if entry.number not in self._seen]
                after = await map_concurrently(partial(_fetch_shown, client), unseen)
                await self._state.save(list(zip(unseen, after, strict=True)))


def _is_looked_for(entry: Entry, found: Found, holder: Entry | None) -> bool:
    """Whether an endpoint matters to a row: not if the row has its own or this one belongs to another row."""
    if entry.state not in _LOOKED_FOR or (holder is not None and not holder.is_gone):
        return False
    is_its_own = found.endpoint_id in {entry.endpoint_id, entry.replaces}
    return not is_its_own or entry.state is RowState.FOUND


async def _fetch_shown(client: AsyncClient, entry: Entry) -> Entry:
    try:
        endpoint = await retry_transient(lambda: client.endpoints.get(entry.endpoint_id or ""))
    except NotFoundError:
        return states.vanished(entry)
    name, alias = endpoint.username or "", endpoint.alias or ""
    return states.shown(entry, Found(endpoint.endpoint_id, name, alias, endpoint.application_id))

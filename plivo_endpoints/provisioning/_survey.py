"""The walk before a run: what the account has of the rows already, and what has changed there."""

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
from plivo_endpoints.provisioning._retry import retry_transient
from plivo_endpoints.provisioning._state._counting import batches
from plivo_endpoints.provisioning._workers import ask_each

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._state._protocol import Entries
    from plivo_endpoints.provisioning._strangers import Present

_LOOKED_FOR: Final = (RowState.NEW, RowState.FOUND, RowState.CONFLICT, RowState.RENAMED)


async def compare(client: AsyncClient, state: Entries, present: Present | None = None) -> None:
    """Compare the rows with the account's endpoints, in one walk of its list.

    Those that a row has are known by their ids, and may have changed; for rows that have none, those of their
    name are looked at. What the list does not show (it may lag) is asked for by id.

    Args:
        client: Whose account.
        state: Has the rows.
        present: Takes in all endpoints that the walk shows.
    """
    survey = _Survey(state, await plausible_suffixes(state), present)
    await survey.forget()  # what a plan that came to no end has left
    counts = await state.count()
    if not any(counts.get(row_state) for row_state in {*KEPT, *_LOOKED_FOR}):
        return
    if doubt := await walk(client, survey.visit, forget=survey.forget):
        raise ProvisioningError(f"what the account has cannot be told: {doubt}")
    if present is not None:
        present.is_known = True
    await survey.ask_for_unseen(client)


class _Numbers:
    """Numbers of rows; a set of them would not stay small."""

    def __init__(self) -> None:
        self._are_in = bytearray()

    def add(self, number: int) -> None:
        self._are_in.extend(bytes(max(0, number + 1 - len(self._are_in))))
        self._are_in[number] = 1

    def __contains__(self, number: int) -> bool:
        return number < len(self._are_in) and self._are_in[number] == 1


class _Survey:
    def __init__(self, state: Entries, suffixes: Collection[int], present: Present | None) -> None:
        self._state = state
        self._present = present
        self._suffixes = suffixes
        self._seen = _Numbers()
        self._met: dict[str, set[str]] = {}  # by key, what was met for rows in conflict

    async def visit(self, page: list[Found]) -> None:
        """Take in a page of the list."""
        if self._present is not None:
            self._present.update(found.endpoint_id for found in page)
        changed: dict[str, tuple[Entry, Entry]] = {}  # by key: two endpoints of a page may have one name
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
        if after.state is not RowState.FOUND:  # such a row says by itself what it met
            self._met[entry.key] = met
        return after

    async def forget(self) -> None:
        """Begin anew."""
        self._met.clear()
        self._seen = _Numbers()
        async with aclosing(batches(self._state, RowState.FOUND, RowState.CONFLICT)) as matched:
            async for batch in matched:
                await self._state.save([(entry, states.unmatched(entry)) for entry in batch])

    async def ask_for_unseen(self, client: AsyncClient) -> None:
        """Ask for the endpoints of rows that no walk showed."""
        async with aclosing(batches(self._state, *KEPT)) as kept:
            async for batch in kept:
                unseen = [entry for entry in batch if entry.number not in self._seen]
                after = await ask_each(unseen, partial(_ask, client))
                await self._state.save(list(zip(unseen, after, strict=True)))


def _is_looked_for(entry: Entry, found: Found, holder: Entry | None) -> bool:
    """Whether an endpoint matters to a row: not if the row has its own, or this one is another row's."""
    if entry.state not in _LOOKED_FOR or (holder is not None and not holder.is_gone):
        return False
    is_its_own = found.endpoint_id in {entry.endpoint_id, entry.replaces}
    return not is_its_own or entry.state is RowState.FOUND


async def _ask(client: AsyncClient, entry: Entry) -> Entry:
    try:
        endpoint = await retry_transient(lambda: client.endpoints.get(entry.endpoint_id or ""))
    except NotFoundError:
        return states.vanished(entry)
    name, alias = endpoint.username or "", endpoint.alias or ""
    return states.shown(entry, Found(endpoint.endpoint_id, name, alias, endpoint.application_id))

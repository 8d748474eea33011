"""The audit: a complete walk that compares account and state; and deleting the duplicates that it found.

What it concludes is pure (`Findings` and what follows), so that the tests can walk through every account.
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
from plivo_endpoints.provisioning._report import Duplicate
from plivo_endpoints.provisioning._retry import retry_transient
from plivo_endpoints.provisioning._state._counting import batches
from plivo_endpoints.provisioning._strangers import IdSet, Present, find_strangers
from plivo_endpoints.provisioning._workers import ask_each

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints._models import Endpoint
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import Change, Entries

NOT_AUDITED: Final = {"audited": "", "appeared": ""}


@frozen
class Audit:
    """What an audit found: the duplicates, and how many endpoints appeared that are no row's."""

    duplicates: tuple[Duplicate, ...]
    appeared: int


async def audit_account(client: AsyncClient, state: Entries, present: Present | None = None) -> Audit:
    """Check that each finished row has its one endpoint; return what was found.

    What the list does not show (it may lag) is asked for by id. A row whose endpoint is gone, or is not its
    own any more, needs review until it is right again, and so does one that failed but seems to have been
    made: what else can be theirs may be all that they have, so it is no duplicate.

    Args:
        client: Whose account.
        state: Has the rows.
        present: The endpoints that were there when the run began; if they are not known, none has appeared.

    Raises:
        ProvisioningError: No walk was whole, so a duplicate could be overlooked; nothing was changed.
    """
    await state.note(NOT_AUDITED)
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
        raise ProvisioningError(f"nothing is audited, a duplicate could have been overlooked: {reason}")
    await _restore(client, state)
    await state.save(findings.made_after_all())
    doubted: set[str] = set()
    async with aclosing(batches(state, *HELD)) as held:
        async for batch in held:
            doubted |= await _ask_for(client, state, [entry for entry in batch if findings.lack(entry)])
    duplicates = findings.duplicates(doubted)
    await note_duplicates(state, duplicates)
    await state.note({"audited": "yes", "appeared": str(len(appeared))})
    return Audit(duplicates, len(appeared))


async def _ask_for(client: AsyncClient, state: Entries, unseen: list[Entry]) -> set[str]:
    """Ask for the endpoints of rows that no walk showed; return the keys of rows that lost theirs."""
    doubts = await ask_each(unseen, partial(_doubt, client))
    changes = [
        (entry, states.doubted(entry, doubt)) for entry, doubt in zip(unseen, doubts, strict=True) if doubt
    ]
    await state.save(changes)
    return {entry.key for entry, _ in changes}


async def _restore(client: AsyncClient, state: Entries) -> None:
    """Look again at the endpoints of rows that an audit doubted: they may have been put right."""
    async with aclosing(batches(state, RowState.REVIEW)) as reviewed:
        async for batch in reviewed:
            doubted = [entry for entry in batch if entry.endpoint_id]
            doubts = await ask_each(doubted, partial(_doubt, client))
            right = [entry for entry, doubt in zip(doubted, doubts, strict=True) if doubt is None]
            await state.save([(entry, states.restored(entry)) for entry in right])


async def _doubt(client: AsyncClient, entry: Entry) -> str | None:
    try:
        endpoint = await retry_transient(lambda: client.endpoints.get(entry.endpoint_id or ""))
    except NotFoundError:
        endpoint = None
    return doubt(entry, endpoint)


async def delete_duplicates(
    client: AsyncClient, state: Entries, duplicates: tuple[Duplicate, ...]
) -> AsyncGenerator[Duplicate]:
    """Delete duplicates and give those deleted: never one with a phone registered, or changed since.

    And never one whose row has not, at this very moment, the endpoint that the state holds for it.
    """
    for duplicate in duplicates:
        with suppress(NotFoundError):
            if not await _has_its_own(client, state, duplicate):
                continue
            if is_idle_duplicate(duplicate, await client.endpoints.get(duplicate.endpoint_id)):
                await client.endpoints.delete(duplicate.endpoint_id)
                yield duplicate


async def _has_its_own(client: AsyncClient, state: Entries, duplicate: Duplicate) -> bool:
    for entry in await state.holders([duplicate.kept or ""]):
        if is_kept(entry, duplicate):
            return await _doubt(client, entry) is None
    return False


async def note_duplicates(state: Entries, duplicates: Iterable[Duplicate]) -> None:
    """Note the duplicates that there are now."""
    await state.note({"duplicates": json.dumps([asdict(duplicate) for duplicate in duplicates])})


def read_duplicates(facts: Mapping[str, str]) -> tuple[Duplicate, ...]:
    """Return the duplicates that the last audit noted."""
    return tuple(Duplicate(**each) for each in json.loads(facts.get("duplicates", "[]")))


class Findings:
    """What a walk of the account's list tells of the rows."""

    def __init__(self, rows: int, suffixes: Collection[int]) -> None:
        self._suffixes = suffixes  # how many digits Plivo is known to append
        self._seen = bytearray(rows + 1)  # by number: a set would not stay small
        self._duplicates: dict[str, Duplicate] = {}
        self._failed: dict[int, tuple[Entry, set[str]]] = {}

    def add(self, entry: Entry, found: Found) -> None:
        """Take in an endpoint that has a row's username; more than once does no harm."""
        if found.endpoint_id in {entry.endpoint_id, entry.replaces}:
            if not entry.is_gone:
                self._seen[entry.number] = found.alias == entry.sought.alias
        elif entry.is_gone or not may_be(entry, found, self._suffixes):
            return
        elif entry.state in HELD:
            self._duplicates[found.endpoint_id] = _duplicate(entry, found)
        elif entry.state is RowState.FAILED:
            self._failed.setdefault(entry.number, (entry, set()))[1].add(found.endpoint_id)

    def made_after_all(self) -> Sequence[Change]:
        """Return what becomes of rows that failed, yet seem to have been made."""
        return [(entry, states.found_after_all(entry, ids)) for entry, ids in self._failed.values()]

    def lack(self, entry: Entry) -> bool:
        """Whether the walk did not show a finished row's endpoint: to be asked for, as the list may lag."""
        return not self._seen[entry.number]

    def duplicates(self, doubted: Collection[str]) -> tuple[Duplicate, ...]:
        """Return the duplicates, but for those of rows, by key, whose own endpoint is in doubt."""
        return tuple(duplicate for duplicate in self._duplicates.values() if duplicate.key not in doubted)


def doubt(entry: Entry, endpoint: Endpoint | None) -> str | None:
    """Say why what Plivo returns for a finished row's id is not the row's endpoint, if it is not."""
    if endpoint is None:
        return f"its endpoint {entry.endpoint_id} does not exist any more"
    if endpoint.alias != entry.sought.alias:
        return f"its endpoint {entry.endpoint_id} has another alias now"
    if not is_made_from(entry.sought.username, endpoint.username or ""):
        return f"its endpoint {entry.endpoint_id} is named {endpoint.username}"
    return None


def is_kept(entry: Entry, duplicate: Duplicate) -> bool:
    """Whether the state still holds what a duplicate was told from, and that one stays."""
    return (
        entry.state in HELD and entry.endpoint_id == duplicate.kept and _may_go(entry, duplicate.endpoint_id)
    )


def is_idle_duplicate(duplicate: Duplicate, endpoint: Endpoint) -> bool:
    """Whether a duplicate is as the audit found it, and it is known that no phone is registered."""
    same = (endpoint.alias, endpoint.username) == (duplicate.alias, duplicate.username)
    return same and endpoint.sip_registered is False


def _may_go(entry: Entry, endpoint_id: str) -> bool:
    """Whether a lost create of this row can have made it, and the row's own is the one that stays."""
    return entry.lost > 0 and _age(entry.endpoint_id or "") < _age(endpoint_id)


def _age(endpoint_id: str) -> tuple[int, str]:
    # Of two numbers the smaller one; of whatever else ids may be, any order that all runs share.
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

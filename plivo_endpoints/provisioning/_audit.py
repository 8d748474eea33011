"""The audit: a whole walk that compares account and state; and deleting the duplicates that it found."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from attrs import asdict

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import HELD, RowState
from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._findings import Findings, doubt, is_idle_duplicate, is_kept
from plivo_endpoints.provisioning._listing import walk
from plivo_endpoints.provisioning._matching import known_suffixes, matches
from plivo_endpoints.provisioning._report import Duplicate
from plivo_endpoints.provisioning._retry import retry_transient
from plivo_endpoints.provisioning._state._counting import batches

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._protocol import Entries

_AT_ONCE: Final = 16
NOT_AUDITED: Final = {"audited": ""}


async def examine_account(client: AsyncClient, state: Entries) -> tuple[Duplicate, ...]:
    """Check that each finished row has its one endpoint; return the duplicates.

    What the list does not show (it may lag) is asked for by id. A row whose endpoint is gone, or is not its
    own any more, needs review until it is right again, and so does one that failed but seems to have been
    made: what else can be theirs may be all that they have, so it is no duplicate.

    Raises:
        ProvisioningError: No walk was whole, so a duplicate could be overlooked; nothing was changed.
    """
    await state.note(NOT_AUDITED)
    rows, suffixes = sum((await state.count()).values()), await known_suffixes(state)
    findings = Findings(rows, suffixes)

    async def visit(page: list[Found]) -> None:
        for entry, found, holder in await matches(state, page, suffixes):
            if holder is None:
                findings.add(entry, found)

    async def forget() -> None:
        nonlocal findings
        findings = Findings(rows, suffixes)

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
    await state.note({"audited": "yes"})
    return duplicates


async def _ask_for(client: AsyncClient, state: Entries, unseen: list[Entry]) -> set[str]:
    """Ask for the endpoints of rows that no walk showed; return the keys of rows that lost theirs."""
    doubted: set[str] = set()
    for first in range(0, len(unseen), _AT_ONCE):
        some = unseen[first : first + _AT_ONCE]
        doubts = await asyncio.gather(*(_doubt(client, entry) for entry in some))
        changes = [
            (entry, states.doubted(entry, doubt)) for entry, doubt in zip(some, doubts, strict=True) if doubt
        ]
        if changes:
            await state.save(changes)
        doubted |= {entry.key for entry, _ in changes}
    return doubted


async def _restore(client: AsyncClient, state: Entries) -> None:
    """Look again at the endpoints of rows that an audit doubted: they may have been put right."""
    async with aclosing(batches(state, RowState.REVIEW)) as reviewed:
        async for batch in reviewed:
            doubted = [entry for entry in batch if entry.endpoint_id]
            right = [entry for entry in doubted if await _doubt(client, entry) is None]
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

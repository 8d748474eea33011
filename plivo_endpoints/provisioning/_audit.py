"""The audit: a whole walk that compares account and journal; and deleting the doubles that it found."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from attrs import asdict

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._findings import Findings, doubt, is_idle_double, is_kept
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._patience import patiently
from plivo_endpoints.provisioning._reconcile import known_suffixes, matches
from plivo_endpoints.provisioning._report import Double
from plivo_endpoints.provisioning._states import HELD, State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._states import Entry, Found

_AT_ONCE: Final = 16
NOT_AUDITED: Final = {"audited": ""}


async def examine_account(client: AsyncClient, journal: Entries) -> tuple[Double, ...]:
    """Check that each finished row has its one endpoint; return the doubles.

    What the list does not show (it may lag) is asked for by id. A row whose endpoint is gone, or is not its
    own any more, needs review until it is right again, and so does one that failed but seems to have been
    made: what else can be theirs may be all that they have, so it is no double.

    Raises:
        ProvisioningError: No walk was whole, so a double could be overlooked; nothing was changed.
    """
    await journal.note(NOT_AUDITED)
    rows, suffixes = sum((await journal.count()).values()), await known_suffixes(journal)
    findings = Findings(rows, suffixes)

    async def visit(page: list[Found]) -> None:
        for entry, found, holder in await matches(journal, page):
            if holder is None:
                findings.add(entry, found)

    async def forget() -> None:
        nonlocal findings
        findings = Findings(rows, suffixes)

    if reason := await walk(client, visit, forget=forget):
        raise ProvisioningError(f"nothing is audited, a double could have been overlooked: {reason}")
    await _restore(client, journal)
    await journal.save(findings.made_after_all())
    doubted: set[str] = set()
    async with aclosing(batches(journal, *HELD)) as held:
        async for batch in held:
            doubted |= await _ask_for(client, journal, [entry for entry in batch if findings.lack(entry)])
    doubles = findings.doubles(doubted)
    await note_doubles(journal, doubles)
    await journal.note({"audited": "yes"})
    return doubles


async def _ask_for(client: AsyncClient, journal: Entries, unseen: list[Entry]) -> set[str]:
    """Ask for the endpoints of rows that no walk showed; return the keys of rows that lost theirs."""
    doubted: set[str] = set()
    for first in range(0, len(unseen), _AT_ONCE):
        some = unseen[first : first + _AT_ONCE]
        doubts = await asyncio.gather(*(_doubt(client, entry) for entry in some))
        changes = [
            (entry, states.doubted(entry, doubt)) for entry, doubt in zip(some, doubts, strict=True) if doubt
        ]
        if changes:
            await journal.save(changes)
        doubted |= {entry.key for entry, _ in changes}
    return doubted


async def _restore(client: AsyncClient, journal: Entries) -> None:
    """Look again at the endpoints of rows that an audit doubted: they may have been put right."""
    async with aclosing(batches(journal, State.REVIEW)) as reviewed:
        async for batch in reviewed:
            doubted = [entry for entry in batch if entry.endpoint_id]
            right = [entry for entry in doubted if await _doubt(client, entry) is None]
            await journal.save([(entry, states.restored(entry)) for entry in right])


async def _doubt(client: AsyncClient, entry: Entry) -> str | None:
    try:
        endpoint = await patiently(lambda: client.endpoints.get(entry.endpoint_id or ""))
    except NotFoundError:
        endpoint = None
    return doubt(entry, endpoint)


async def delete_doubles(
    client: AsyncClient, journal: Entries, doubles: tuple[Double, ...]
) -> AsyncGenerator[Double]:
    """Delete doubles and give those deleted: never one with a phone registered, or changed since.

    And never one whose row has not, at this very moment, the endpoint that the journal holds for it.
    """
    for double in doubles:
        with suppress(NotFoundError):
            if not await _has_its_own(client, journal, double):
                continue
            if is_idle_double(double, await client.endpoints.get(double.endpoint_id)):
                await client.endpoints.delete(double.endpoint_id)
                yield double


async def _has_its_own(client: AsyncClient, journal: Entries, double: Double) -> bool:
    for entry in await journal.find([double.alias]):
        if is_kept(entry, double):
            return await _doubt(client, entry) is None
    return False


async def note_doubles(journal: Entries, doubles: Iterable[Double]) -> None:
    """Note the doubles that there are now."""
    await journal.note({"doubles": json.dumps([asdict(double) for double in doubles])})


def read_doubles(facts: Mapping[str, str]) -> tuple[Double, ...]:
    """Return the doubles that the last audit noted."""
    return tuple(Double(**each) for each in json.loads(facts.get("doubles", "[]")))

"""After a run, or beside it: how it stands, the audit again, and deleting the doubles that it found."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._audit import delete_doubles, examine_account, note_doubles, read_doubles
from plivo_endpoints.provisioning._binding import check_begun
from plivo_endpoints.provisioning._errors import StaleError
from plivo_endpoints.provisioning._reach import account_of, check_client, spend_rate_limit
from plivo_endpoints.provisioning._report import Report, by_status
from plivo_endpoints.provisioning._sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from os import PathLike

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._report import Double


async def read_report(journal: str | PathLike[str]) -> Report:
    """Return where a run stands, also while it is under way.

    Raises:
        JournalError: There is no such journal, or it cannot be read.
    """
    async with opened(SqliteJournal(journal, read_only=True)) as known:
        return await _report(known)


async def audit(client: AsyncClient, journal: str | PathLike[str]) -> Report:
    """Compare account and journal, in one walk of the list, and return where the run stands after that.

    As the run may have used the rate limit until now, the first request waits for one period of it.

    Raises:
        StaleError: The journal belongs to another account.
        ProvisioningError: No walk was whole; the message says why.
        JournalError: The journal cannot be used, or is in use.
    """
    async with _own(client, journal) as known:
        await examine_account(client, known)
        return await _report(known)


async def prune(client: AsyncClient, journal: str | PathLike[str]) -> tuple[Double, ...]:
    """Delete the doubles that the last audit found, and return those deleted.

    One that a phone is registered with, or that has changed since, is left alone and stays in the report; so
    is one whose row has lost the endpoint that was kept for it.
    There is no way back, so ask first. The first request waits as that of `audit` does.
    """
    async with _own(client, journal) as known:
        doubles = read_doubles(await known.facts())
        deleted: list[Double] = []
        try:
            async for double in delete_doubles(client, known, doubles):
                deleted.append(double)  # noqa: PERF401 - known even where the next raises
        finally:
            await note_doubles(known, [double for double in doubles if double not in deleted])
        return tuple(deleted)


@asynccontextmanager
async def opened(journal: SqliteJournal) -> AsyncGenerator[SqliteJournal]:
    """Open a journal for the block."""
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def _own(client: AsyncClient, path: str | PathLike[str]) -> AsyncGenerator[SqliteJournal]:
    check_client(client)
    await read_report(path)  # not to make a journal where there is none
    async with opened(SqliteJournal(path)) as journal:
        facts = await journal.facts()
        check_begun(facts)
        if (owner := facts["account"]) != account_of(client):
            raise StaleError(f"the journal belongs to {owner}, not to {account_of(client)}")
        spend_rate_limit(client)
        yield journal


async def _report(journal: SqliteJournal) -> Report:
    facts = await journal.facts()
    return Report(
        counts=by_status(await journal.count()),
        doubles=read_doubles(facts),
        audited=bool(facts.get("audited")),
        gone=await journal.count_gone(),
    )

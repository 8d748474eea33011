"""The plan: what the account has of the rows already, and what a run would do."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._afterwards import opened
from plivo_endpoints.provisioning._binding import bind
from plivo_endpoints.provisioning._errors import ProvisioningError, StaleError
from plivo_endpoints.provisioning._journal_file import copy_journal
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._reach import account_of, check_client
from plivo_endpoints.provisioning._reconcile import known_suffixes, matches
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._sqlite import SqliteJournal
from plivo_endpoints.provisioning._states import State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection
    from os import PathLike

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._states import Entry, Found

_PLANNED: Final = {State.NEW, State.UNCHANGED, State.OUTDATED, State.CONFLICT}


@frozen(kw_only=True)
class Plan:
    """What a run would do, by the rows' keys, in the order of the source.

    Attributes:
        account: URL of the account that was looked at.
        salt: What `digest` was made with.
        digest: Tells whether a source is the one that was planned; slow to compute, so nothing to guess
            passwords by.
        create: Rows that the account has no endpoint for.
        update: Rows whose endpoint has another application, or whose alias was edited.
        unchanged: Rows whose endpoint is as it should be. Passwords cannot be compared, so none is changed.
        conflict: Rows that a person has to look at, and why: an endpoint has the alias, but another name.
        gone: How many rows the source has no more, of those that were applied with the journal. Their
            endpoints stay.
    """

    account: str
    salt: str
    digest: str = field(repr=False)
    create: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    conflict: Mapping[str, str] = field(factory=dict[str, str])
    gone: int = 0


async def plan(
    client: AsyncClient,
    source: Source,
    *,
    journal: str | PathLike[str] | None = None,
    master_key: str | None = None,
) -> Plan:
    """Compare a source with what its runs have made and with the account; nothing is written.

    Args:
        client: Whose account.
        source: The rows, as for `apply`.
        journal: The file of the runs so far: rows are known again by their keys. Without it every row counts
            as new, and is looked for in the account by alias and name.
        master_key: As for `apply`: without one, rows must come with passwords.

    Raises:
        InvalidArgumentError: The source is none, or can be read only once.
        SourceError: Rows break rules; all of them are named.
        ProvisioningError: What the account has cannot be told; the message says why.
    """
    check_client(client)
    rows = source_of(source)
    async with _scratch(journal) as scratch:
        contents, _ = await bind(client, rows, scratch, master_key_of(master_key), None)
        await compare(client, scratch)
        return await read_plan(scratch, account_of(client), contents)


@asynccontextmanager
async def _scratch(journal: str | PathLike[str] | None) -> AsyncGenerator[SqliteJournal]:
    """Open a journal to plan in: a copy of the run's, or a new one."""
    with ExitStack() as stack:
        path = None
        if journal is not None:
            path = Path(stack.enter_context(TemporaryDirectory(prefix="plivo-endpoints-"))) / "plan.db"
            await asyncio.to_thread(copy_journal, Path(journal), path)
        async with opened(SqliteJournal(path)) as scratch:
            yield scratch


async def compare(client: AsyncClient, journal: Entries) -> None:
    """Match new entries with the account's endpoints, by alias, in one walk of its list."""
    edition = int((await journal.facts())["edition"])
    suffixes = await known_suffixes(journal)
    several: dict[int, set[str]] = {}  # by number, the endpoints of an alias that has more than one

    async def visit(page: list[Found]) -> None:
        changed: dict[int, tuple[Entry, Entry]] = {}  # by number: two endpoints of a page may have one alias
        for entry, found, holder in await matches(journal, page):
            if entry.edition != edition or entry.state not in _PLANNED or (holder and holder.number):
                continue  # its endpoint is known, or its create was lost; or this one is another row's
            _, known = changed.get(entry.number, (entry, entry))
            if holder is not None:
                changed[entry.number] = (entry, states.claimed(known, found, holder))
                continue
            changed[entry.number] = (
                entry,
                states.matched(known, found, _met(several, known, found), suffixes),
            )
        if changes := [(before, after) for before, after in changed.values() if after != before]:
            await journal.save(changes)

    async def forget() -> None:
        several.clear()
        async with aclosing(batches(journal, State.UNCHANGED, State.OUTDATED, State.CONFLICT)) as matched:
            async for batch in matched:
                await journal.save(
                    [(entry, states.unmatched(entry)) for entry in batch if entry.edition == edition]
                )

    await forget()  # what a plan that came to no end has left
    if not (await journal.count()).get(State.NEW):
        return
    if doubt := await walk(client, visit, forget=forget):
        raise ProvisioningError(f"what the account has cannot be told: {doubt}")


def _met(several: dict[int, set[str]], entry: Entry, found: Found) -> Collection[str]:
    """Return the endpoints met so far that have an entry's alias."""
    if entry.endpoint_id in {None, found.endpoint_id}:
        return several.get(entry.number, {found.endpoint_id})
    met = several.setdefault(entry.number, {entry.endpoint_id or ""})
    met.add(found.endpoint_id)
    return met


def check_steps(expected: Plan, now: Plan) -> None:
    """Raise `StaleError` if the account has changed since it was planned, as far as these rows go."""
    steps, steps_now = [
        (each.create, each.update, each.unchanged, dict(each.conflict), each.gone) for each in (expected, now)
    ]
    if steps != steps_now:
        raise StaleError("the account has changed since it was planned: plan again")


async def read_plan(journal: Entries, account: str, contents: Contents) -> Plan:
    """Return the plan that a journal holds after `compare`."""
    keys: dict[State, list[str]] = {}
    conflict: dict[str, str] = {}
    async with aclosing(batches(journal, *State)) as entries:
        async for batch in entries:
            for entry in batch:
                if entry.state in {State.CONFLICT, State.REVIEW}:
                    conflict[entry.key] = entry.reason or ""
                else:
                    keys.setdefault(_step(entry), []).append(entry.key)
    salt = secrets.token_hex(16)
    return Plan(
        account=account,
        salt=salt,
        digest=contents.digest(salt),
        create=tuple(keys.get(State.NEW, ())),
        update=tuple(keys.get(State.OUTDATED, ())),
        unchanged=tuple(keys.get(State.UNCHANGED, ())),
        conflict=conflict,
        gone=await journal.count_gone(),
    )


def _step(entry: Entry) -> State:
    """Return NEW for what will be created, OUTDATED for what will be updated, UNCHANGED for the rest."""
    if entry.state in {State.NEW, State.INTENT, State.PARKED}:
        return State.NEW
    return entry.state if entry.state is State.OUTDATED else State.UNCHANGED

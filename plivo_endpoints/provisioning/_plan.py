"""The plan: what the account has of the rows already, and what a run would do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import field, frozen

from plivo_endpoints.provisioning import _states as states
from plivo_endpoints.provisioning._errors import ProvisioningError, StaleError
from plivo_endpoints.provisioning._ledger import batches
from plivo_endpoints.provisioning._load import load
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._reach import account_of, check_client
from plivo_endpoints.provisioning._reconcile import matches
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._sqlite import SqliteJournal
from plivo_endpoints.provisioning._states import State
from plivo_endpoints.provisioning._walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Entries
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._states import Entry, Found


@frozen(kw_only=True)
class Plan:
    """What a run would do, by the rows' keys, in the order of the source.

    Attributes:
        account: URL of the account that was looked at.
        salt: What `digest` was made with.
        digest: Tells whether a source is the one that was planned; slow to compute, so nothing to guess
            passwords by.
        create: Rows that the account has no endpoint for.
        update: Rows whose endpoint has another application.
        unchanged: Rows whose endpoint is as it should be. Passwords cannot be compared, so none is changed.
        conflict: Rows that a person has to look at, and why: an endpoint has the alias, but another name.
    """

    account: str
    salt: str
    digest: str = field(repr=False)
    create: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    conflict: Mapping[str, str] = field(factory=dict[str, str])


async def plan(client: AsyncClient, source: Source, *, master_key: str | None = None) -> Plan:
    """Compare a source with the account, in one walk of its list; nothing is written.

    Args:
        client: Whose account.
        source: The rows, as for `apply`.
        master_key: As for `apply`: without one, rows must come with passwords.

    Raises:
        InvalidArgumentError: The source is none, or can be read only once.
        SourceError: Rows break rules; all of them are named.
        ProvisioningError: What the account has cannot be told; the message says why.
    """
    check_client(client)
    rows = source_of(source)
    journal = SqliteJournal(None)
    await journal.open()
    try:
        contents = await load(journal, rows, derives=master_key_of(master_key) is not None)
        await compare(client, journal)
        return await read_plan(journal, account_of(client), contents)
    finally:
        await journal.close()


async def compare(client: AsyncClient, journal: Entries) -> None:
    """Match new entries with the account's endpoints, by alias."""
    several: dict[int, set[str]] = {}  # by number, the endpoints of an alias that has more than one

    async def visit(page: list[Found]) -> None:
        changed: dict[int, tuple[Entry, Entry]] = {}  # by number: two endpoints of a page may have one alias
        for entry, found in await matches(journal, page):
            _, known = changed.get(entry.number, (entry, entry))
            changed[entry.number] = (entry, states.matched(known, found, _met(several, known, found)))
        if changes := [(before, after) for before, after in changed.values() if after != before]:
            await journal.save(changes)

    async def forget() -> None:
        several.clear()
        async with aclosing(batches(journal, State.UNCHANGED, State.OUTDATED, State.REVIEW)) as matched:
            async for batch in matched:
                await journal.save([(entry, states.unmatched(entry)) for entry in batch])

    if doubt := await walk(client, visit, forget=forget):
        raise ProvisioningError(f"what the account has cannot be told: {doubt}")


def _met(several: dict[int, set[str]], entry: Entry, found: Found) -> Collection[str]:
    """Return the endpoints met so far that have an entry's alias."""
    if entry.endpoint_id in {None, found.endpoint_id}:
        return several.get(entry.number, {found.endpoint_id})
    met = several.setdefault(entry.number, {entry.endpoint_id or ""})
    met.add(found.endpoint_id)
    return met


def check_source(expected: Plan, account: str, contents: Contents) -> None:
    """Raise `StaleError` unless a plan was made for this account and these rows."""
    if account != expected.account:
        raise StaleError(f"the plan was made for {expected.account}, not for {account}")
    if contents.digest(expected.salt) != expected.digest:
        raise StaleError("the source is not the one that was planned: plan again")


def check_steps(expected: Plan, now: Plan) -> None:
    """Raise `StaleError` if the account has changed since it was planned, as far as these rows go."""
    steps, steps_now = [
        (each.create, each.update, each.unchanged, dict(each.conflict)) for each in (expected, now)
    ]
    if steps != steps_now:
        raise StaleError("the account has changed since it was planned: plan again")


async def read_plan(journal: Entries, account: str, contents: Contents) -> Plan:
    """Return the plan that a journal holds after `compare`."""
    keys: dict[State, list[str]] = {}
    conflict: dict[str, str] = {}
    planned = (State.NEW, State.OUTDATED, State.UNCHANGED, State.REVIEW)
    async with aclosing(batches(journal, *planned)) as entries:
        async for batch in entries:
            for entry in batch:
                if entry.state is State.REVIEW:
                    conflict[entry.key] = entry.reason or ""
                else:
                    keys.setdefault(entry.state, []).append(entry.key)
    salt = secrets.token_hex(16)
    return Plan(
        account=account,
        salt=salt,
        digest=contents.digest(salt),
        create=tuple(keys.get(State.NEW, ())),
        update=tuple(keys.get(State.OUTDATED, ())),
        unchanged=tuple(keys.get(State.UNCHANGED, ())),
        conflict=conflict,
    )

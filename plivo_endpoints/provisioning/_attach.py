"""Attach a state to its source: it belongs to one account, one master key and one source in all editions.

The facts of a state, "yes" or empty where nothing else is said:

- `account`: URL of the account. `fleet_id`: salt of `digest` and of derived passwords, made once.
- `digest`: identifies the source as last taken up. `mark`: identifies the master key.
- `planned`: the comparison with the account is complete; empty if it starts over, absent before the first
  one, when nothing was sent yet.
- `done`: the run has ended. `audited`: its audit is complete. `appeared`: number of strangers it counted.
- `duplicates`: those that the audit found, as JSON.
- `permissions`: those of a run that several processes share, as JSON.
- `proven`: the canary was found. `mismatches`: those that must be corrected first, as JSON (`_canary`).
"""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from plivo_endpoints._validation import require
from plivo_endpoints.provisioning._audit import NOT_AUDITED
from plivo_endpoints.provisioning._entries import NEEDS_PERSON, RowState
from plivo_endpoints.provisioning._errors import StaleError, StateError
from plivo_endpoints.provisioning._load import chunks, load, read_contents
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.provisioning._reach import account_of, spend_rate_limit
from plivo_endpoints.provisioning._rows import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._protocol import FleetState

_COMPARED_AGAIN: Final = (*NEEDS_PERSON, RowState.UNDELETED, RowState.FAILED, RowState.REVIEW)


async def attach(
    client: AsyncClient,
    source: RowSource,
    state: FleetState,
    master_key: str | None,
    *,
    plan: Plan | None = None,
    permissions: Mapping[str, str] | None = None,
) -> tuple[Contents, Deriver | None]:
    """Merge a source into a state unless that was done before; check that a plan belongs to both.

    With a new edition of the source, `permissions` are recorded, which are facts too.
    """
    facts, account = await state.facts(), account_of(client)
    if facts:
        spend_rate_limit(client)
    if "planned" in facts:
        check_account(facts, account)
        contents, deriver = await _resume(state, facts, source, master_key, permissions or {})
    else:  # nothing was sent yet, so start over
        await state.clear()
        begun = {"account": account, "fleet_id": secrets.token_hex(16), "mark": "", **(permissions or {})}
        contents, deriver = await _take_up(state, begun, source, master_key)
    if plan is not None:
        check_source(plan, account, contents)
    return contents, deriver


async def check_keys(keys: Collection[str] | None, source: RowSource, state: FleetState) -> None:
    """Raise `InvalidArgumentError` if a key is neither in the source nor in the state."""
    unknown = {key for key in keys or () if await state.find_key(key) is None}
    if unknown:
        async with aclosing(chunks(source)) as reading:
            async for _, chunk in reading:
                if any(isinstance(item, Problem) for item in chunk):
                    return  # `load` names everything that is wrong with the source
                unknown -= {item.key for item in chunk}
    names = ", ".join(map(repr, sorted(unknown)))
    require("only", f"has a key that is in neither the source nor the state: {names}" if unknown else None)


async def _resume(
    state: FleetState,
    facts: Mapping[str, str],
    source: RowSource,
    master_key: str | None,
    permissions: Mapping[str, str],
) -> tuple[Contents, Deriver | None]:
    contents = await read_contents(source)
    is_edited = contents.digest(facts["fleet_id"]) != facts["digest"]
    counts = await state.count()
    # Rows that failed or needed review are compared again: somebody may have fixed the cause.
    is_interrupted = not facts.get("done") and not any(counts.get(each) for each in _COMPARED_AGAIN)
    if is_interrupted and not is_edited:
        return contents, deriver_of(contents, facts, master_key)
    return await _take_up(state, {**facts, **permissions}, source, master_key)


async def _take_up(
    state: FleetState, facts: Mapping[str, str], source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    """Merge a new edition of the source into the state; the run plans it next."""
    await state.discard()
    deriver = _deriver(facts, master_key)
    contents = await load(state, source, deriver)
    _check_key(contents, deriver)
    news = {
        **facts,
        "digest": contents.digest(facts["fleet_id"]),
        "mark": deriver.mark if deriver else facts["mark"],
        "done": "",
        **NOT_AUDITED,
    }
    if "planned" in news:
        news["planned"] = ""
    await state.take_up(news)
    return contents, deriver


def deriver_of(contents: Contents, facts: Mapping[str, str], master_key: str | None) -> Deriver | None:
    """Return what derives the passwords of a source; `None` if all of them are in the source.

    Raises:
        StaleError: The master key is missing, or not the one of this state.
    """
    deriver = _deriver(facts, master_key)
    _check_key(contents, deriver)
    return deriver


def _deriver(facts: Mapping[str, str], master_key: str | None) -> Deriver | None:
    if master_key is None:
        return None
    deriver = Deriver(master_key, facts["fleet_id"])
    if facts["mark"] and deriver.mark != facts["mark"]:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) is not the one this state was created with")
    return deriver


def _check_key(contents: Contents, deriver: Deriver | None) -> None:
    if deriver is None and contents.derives:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) is missing; passwords are derived from it")


async def verify_source(
    state: FleetState, source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    """Raise `StaleError` unless the state was made with this source and this master key."""
    facts = await state.facts()
    check_begun(facts)
    contents = await read_contents(source)
    if contents.digest(facts["fleet_id"]) != facts["digest"]:
        raise StaleError("the source has changed since it was last applied with this state: apply it first")
    return contents, deriver_of(contents, facts, master_key)


def check_source(expected: Plan, account: str, contents: Contents) -> None:
    """Raise `StaleError` unless a plan was made for this account and these rows."""
    if account != expected.account:
        raise StaleError(f"the plan was made for {expected.account}, not for {account}")
    if contents.digest(expected.salt) != expected.digest:
        raise StaleError("the source has changed since the plan was made: plan again")


def check_account(facts: Mapping[str, str], account: str) -> None:
    """Raise if no run has started with the state yet, or if it belongs to another account."""
    check_begun(facts)
    if facts["account"] != account:
        raise StaleError(f"the state belongs to {facts['account']}, not to {account}")


def check_begun(facts: Mapping[str, str]) -> None:
    """Raise `StateError` if no run has started with the state yet."""
    if not facts:
        raise StateError("no run has started with this state yet")

"""A journal belongs to one account and one master key, and to one source in all its editions."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._canary import read_surprises
from plivo_endpoints.provisioning._errors import JournalError, StaleError, shorten
from plivo_endpoints.provisioning._load import examine, load
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.provisioning._reach import account_of, spend_rate_limit
from plivo_endpoints.provisioning._states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Journal
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._rows import RowSource

_SHOWN: Final = 20


async def bind(
    client: AsyncClient, source: RowSource, journal: Journal, master_key: str | None, plan: Plan | None
) -> tuple[Contents, Deriver | None]:
    """Let a journal take up a source, or check that it has; and that a plan belongs to both."""
    facts, account = await journal.facts(), account_of(client)
    if facts:
        spend_rate_limit(client)
    if "planned" in facts:
        if facts["account"] != account:
            raise StaleError(f"the journal belongs to {facts['account']}, not to {account}")
        contents, deriver = await _go_on(journal, facts, source, master_key)
    else:  # nothing was sent yet, so it begins anew
        await journal.clear()
        begun = {"account": account, "run_id": secrets.token_hex(16), "mark": "", "edition": "0"}
        contents, deriver = await _take_up(journal, begun, source, master_key)
    if plan is not None:
        check_source(plan, account, contents)
    return contents, deriver


async def _go_on(
    journal: Journal, facts: Mapping[str, str], source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    contents = await examine(source)
    is_edited = contents.digest(facts["run_id"]) != facts["digest"]
    counts = await journal.count()
    # What Plivo refused, or conflicted with the account, is looked at anew: it may have been put right.
    if not is_edited and not any(counts.get(state) for state in (State.CONFLICT, State.FAILED)):
        return contents, _deriver(facts, contents, master_key)
    if is_edited and read_surprises(facts):
        raise StaleError(
            "the last run stopped at an endpoint that does not match its row: put that right, or delete it, "
            "and apply the source as it was"
        )
    return await _take_up(journal, facts, source, master_key)


async def _take_up(
    journal: Journal, facts: Mapping[str, str], source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    """Let a journal take up a new edition of its source, which is planned next."""
    await journal.discard()
    contents = await load(journal, source, derives=master_key is not None)
    deriver = _deriver(facts, contents, master_key)
    news = {
        **facts,
        "edition": str(int(facts["edition"]) + 1),
        "digest": contents.digest(facts["run_id"]),
        "mark": deriver.mark if deriver else facts["mark"],
    }
    if "planned" in news:
        news["planned"] = ""
    if refusals := await journal.take_up(int(news["edition"]), news):
        lines = shorten(refusals, _SHOWN)
        raise StaleError("\n".join(["some edits cannot be applied; nothing was sent", *lines]))
    return contents, deriver


def _deriver(facts: Mapping[str, str], contents: Contents, master_key: str | None) -> Deriver | None:
    if not contents.derives:
        return None
    if master_key is None:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) of this run is missing")
    deriver = Deriver(master_key, facts["run_id"])
    if facts["mark"] and deriver.mark != facts["mark"]:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) is not the one of this run")
    return deriver


async def rebind(
    journal: Journal, source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    """Raise `StaleError` unless source and master key are the ones that the journal was made with."""
    facts = await journal.facts()
    check_begun(facts)
    contents = await examine(source)
    if contents.digest(facts["run_id"]) != facts["digest"]:
        raise StaleError("the source is not the one that was applied with this journal: apply it first")
    return contents, _deriver(facts, contents, master_key)


def check_source(expected: Plan, account: str, contents: Contents) -> None:
    """Raise `StaleError` unless a plan was made for this account and these rows."""
    if account != expected.account:
        raise StaleError(f"the plan was made for {expected.account}, not for {account}")
    if contents.digest(expected.salt) != expected.digest:
        raise StaleError("the source is not the one that was planned: plan again")


def check_begun(facts: Mapping[str, str]) -> None:
    """Raise `JournalError` if a journal belongs to nothing yet."""
    if not facts:
        raise JournalError("no run has begun with this journal")

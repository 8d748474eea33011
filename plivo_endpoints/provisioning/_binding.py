"""A journal belongs to one source, one account and one master key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._errors import JournalError, StaleError
from plivo_endpoints.provisioning._load import examine, load
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.provisioning._plan import check_source
from plivo_endpoints.provisioning._reach import account_of, spend_rate_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._journal import Journal
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._rows import RowSource


async def bind(
    client: AsyncClient, source: RowSource, journal: Journal, master_key: str | None, plan: Plan | None
) -> tuple[Contents, Deriver | None]:
    """Load a source into a new journal, or check that an old one belongs to it; and that a plan does."""
    facts, account = await journal.facts(), account_of(client)
    if facts:
        spend_rate_limit(client)
    if "planned" in facts:
        if facts["account"] != account:
            raise StaleError(f"the journal belongs to {facts['account']}, not to {account}")
        contents, deriver = await rebind(journal, source, master_key)
    else:  # nothing was sent yet, so it begins anew
        await journal.clear()
        contents = await load(journal, source, derives=master_key is not None)
        run_id = secrets.token_hex(16)
        deriver = Deriver(master_key, run_id) if master_key and contents.derives else None
        mark = deriver.mark if deriver else ""
        digest = contents.digest(run_id)
        await journal.note({"account": account, "run_id": run_id, "digest": digest, "mark": mark})
    if plan is not None:
        check_source(plan, account, contents)
    return contents, deriver


async def rebind(
    journal: Journal, source: RowSource, master_key: str | None
) -> tuple[Contents, Deriver | None]:
    """Raise `StaleError` unless source and master key are the ones that the journal was made with."""
    facts = await journal.facts()
    check_begun(facts)
    contents = await examine(source)
    if contents.digest(facts["run_id"]) != facts["digest"]:
        raise StaleError(
            "the source is not the one that the journal was made for: give that one, or a new journal"
        )
    if not contents.derives:
        return contents, None
    if master_key is None:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) of this run is missing")
    deriver = Deriver(master_key, facts["run_id"])
    if deriver.mark != facts["mark"]:
        raise StaleError("the master key (PLIVO_PROVISION_KEY) is not the one of this run")
    return contents, deriver


def check_begun(facts: Mapping[str, str]) -> None:
    """Raise `JournalError` if a journal belongs to nothing yet."""
    if not facts:
        raise JournalError("no run has begun with this journal")

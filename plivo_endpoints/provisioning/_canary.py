"""The canary: the first create of a fleet runs alone and is checked before others follow."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from attrs import evolve

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import CanaryError
from plivo_endpoints.provisioning._listing import Walk
from plivo_endpoints.provisioning._matching import is_made_from
from plivo_endpoints.provisioning._outage import retry_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._counting import CountingState
    from plivo_endpoints.provisioning._state._protocol import JointState

_FIRST_PAUSE: Final = 0.25  # seconds between the first two walks
_LONGEST_PAUSE: Final = 30.0


class Canary:
    """Whether created endpoints match their requests: one is created alone to verify that.

    The state remembers endpoints that do not match. A run continues only after a person has corrected or
    deleted each of them. As that does not show how Plivo behaves, the next create runs alone again.
    """

    def __init__(self, client: AsyncClient, state: CountingState, *, settle: float) -> None:
        self._client = client
        self._state = state
        self._settle = settle
        self._mismatches: dict[str, str] = {}  # endpoint ids by row key
        self.made_alone: Entry | None = None  # the last one, in this process
        self.is_there = False
        # Whether the list showed it at once. If not, earlier walks may have missed endpoints as well.
        self.was_listed_at_once = False

    def restore(self, facts: Mapping[str, str]) -> None:
        """Restore what the state knows."""
        self.is_there = facts.get("proven") == "yes"
        self._mismatches = read_mismatches(facts)

    async def verify(self) -> bool:
        """Check the canary; return whether others may follow, which is also so if there is none to create.

        Raises:
            CanaryError: It does not match its row, or an earlier mismatch was neither corrected nor deleted.
        """
        creates = self._state.has(RowState.NEW, RowState.PARKED)
        if creates:
            for key, endpoint_id in self._mismatches.items():
                await self._look_again(key, endpoint_id)
        shown = self.made_alone if self._mismatches else await self._first()
        if shown and shown.state is RowState.CREATED:  # a walk has already found an adopted one
            await self._check(shown)
        if shown:
            self._mismatches.clear()
            await self._state.note({"proven": "yes", "mismatches": "{}"})
        self.is_there = bool(shown) or not creates
        return self.is_there

    async def mark_failed(self, entry: Entry) -> None:
        """Record that a row's endpoint does not match it."""
        self._mismatches[entry.key] = entry.endpoint_id or ""
        await self._state.note(_facts_of(self._mismatches))

    async def _first(self) -> Entry | None:
        found = await self._state.read(after=0, limit=1, states={RowState.CREATED, RowState.ADOPTED})
        return found[0] if found else None

    async def _look_again(self, key: str, endpoint_id: str) -> None:
        entry = await self._state.find_key(key)
        if entry is None or entry.is_gone:
            return
        with suppress(NotFoundError):
            endpoint = await retry_transient(lambda: self._client.endpoints.get(endpoint_id))
            # The mismatch is recorded before the row is saved, so the state may know nothing else of it.
            known = evolve(entry, endpoint_id=endpoint_id, made_as=endpoint.username, sent=entry.wanted)
            await check_canary(self._client, known, settle=self._settle)

    async def _check(self, entry: Entry) -> None:
        try:
            at_once = await check_canary(self._client, entry, settle=self._settle)
        except CanaryError:
            await self.mark_failed(entry)
            raise
        # One that an earlier process created had time to be listed.
        self.was_listed_at_once = at_once and self.made_alone is not None


def read_mismatches(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of endpoints that do not match and were not corrected, by row key."""
    return dict(json.loads(facts.get("mismatches", "{}")))


def _facts_of(mismatches: Mapping[str, str]) -> dict[str, str]:
    """Return what the state notes of endpoints that do not match."""
    return {"proven": "", "mismatches": json.dumps(mismatches)}


async def stop_all(joint: JointState, entry: Entry) -> None:
    """Stop all processes of a run, as a row's endpoint does not match; the state remembers the endpoint."""
    await joint.stop_claims(
        lambda facts: _facts_of({**read_mismatches(facts), entry.key: entry.endpoint_id or ""})
    )


def check_mismatches(facts: Mapping[str, str]) -> None:
    """Raise `CanaryError` if another process of the run has met an endpoint that does not match."""
    for key, endpoint_id in read_mismatches(facts).items():
        raise CanaryError(
            f"another process of this run stopped at endpoint {endpoint_id} (for {key!r}), which does not "
            "match its row; no other endpoint is created until it matches or is deleted"
        )


async def check_canary(client: AsyncClient, entry: Entry, *, settle: float) -> bool:
    """Check that the list shows a new endpoint in a way that would identify it.

    Returns:
        Whether the first walk found it.

    Raises:
        CanaryError: Alias or username does not match, or the list does not show it within `settle`.
    """
    check_answer(entry, None)
    found, walks = await _find_listed(client, entry, settle)
    check_listed(entry, found, within=settle)
    return walks == 1


def check_answer(entry: Entry, alias: str | None) -> None:
    """Check that a new endpoint could be identified if the response had been lost.

    Raises:
        CanaryError: Alias or username does not match, so those of later creates may not match either.
    """
    if not is_made_from(entry.sought.username, entry.made_as or ""):
        raise _mismatch(entry, f"its username is {entry.made_as!r}, not the requested one with digits added")
    if alias not in (None, entry.sought.alias):
        raise _mismatch(entry, f"Plivo returned the alias {alias!r}")


def check_listed(entry: Entry, found: Found | None, *, within: float) -> None:
    """Check what the list shows of a new endpoint; `found` is `None` if it did not appear in time.

    Raises:
        CanaryError: It could not be found again, so the same may be true of later ones.
    """
    if found is None:
        raise _mismatch(entry, f"the list did not show it within {within:g} s")
    if found.alias != entry.sought.alias:
        raise _mismatch(entry, f"the list shows it with the alias {found.alias!r}")
    if not is_made_from(entry.sought.username, found.username):
        raise _mismatch(entry, f"the list shows it with the username {found.username!r}")


async def _find_listed(client: AsyncClient, entry: Entry, settle: float) -> tuple[Found | None, int]:
    """Walk the list until it shows an endpoint or `settle` seconds pass; also return the number of walks."""
    deadline, pause, walks = time.monotonic() + settle, _FIRST_PAUSE, 0
    while True:
        begun = time.monotonic()
        found = await _walk_to(client, entry.endpoint_id)
        walks += 1
        if found or begun >= deadline:
            return found, walks
        await asyncio.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _walk_to(client: AsyncClient, endpoint_id: str | None) -> Found | None:
    async with aclosing(Walk(client).pages()) as pages:
        async for page in pages:
            for found in page:
                if found.endpoint_id == endpoint_id:
                    return found
    return None


def _mismatch(entry: Entry, what: str) -> CanaryError:
    return CanaryError(
        f"stopped at endpoint {entry.endpoint_id} (for {entry.key!r}, alias {entry.sought.alias!r}): {what}; "
        "no other endpoint is created until this one matches or is deleted"
    )

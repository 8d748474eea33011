"""The first create of a fleet is made alone and looked at, before others follow; then every answer is."""

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
from plivo_endpoints.provisioning._retry import retry_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Found
    from plivo_endpoints.provisioning._state._counting import CountingState

_FIRST_LOOK: Final = 0.25  # seconds between the first two looks
_LONGEST_LOOK: Final = 30.0


class Canary:
    """Whether creates match what they ask for: shown by one made alone, until another does not.

    The state remembers those that do not. A run goes on only when a person has put each of them right, or
    deleted it. As that says nothing of what Plivo does, the next create goes alone again.
    """

    def __init__(self, client: AsyncClient, state: CountingState, *, settle: float) -> None:
        self._client = client
        self._state = state
        self._settle = settle
        self._mismatches: dict[str, str] = {}  # what does not match: key of the row, id of the endpoint
        self.made_alone: Entry | None = None  # the last one, in this process
        self.is_there = False
        # Whether it was listed as soon as it was made. Otherwise a walk before may have missed some as well.
        self.was_listed_at_once = False

    def restore(self, facts: Mapping[str, str]) -> None:
        """Take up what the state knows."""
        self.is_there = facts.get("proven") == "yes"
        self._mismatches = read_mismatches(facts)

    async def verify(self) -> bool:
        """Look at what was made alone, and return whether that is proof; nothing to create needs none.

        Raises:
            CanaryError: It does not match its row, or one that did not is neither mended nor deleted.
        """
        creates = self._state.has(RowState.NEW, RowState.PARKED)
        if creates:
            for key, endpoint_id in self._mismatches.items():
                await self._look_again(key, endpoint_id)
        shown = self.made_alone if self._mismatches else await self._first()
        if shown and shown.state is RowState.CREATED:  # an adopted one was found again already
            await self._examine(shown)
        if shown:
            self._mismatches.clear()
            await self._state.note({"proven": "yes", "mismatches": "{}"})
        self.is_there = bool(shown) or not creates
        return self.is_there

    async def mark_failed(self, entry: Entry) -> None:
        """Note that a row's endpoint does not match it."""
        self._mismatches[entry.key] = entry.endpoint_id or ""
        await self._state.note({"proven": "", "mismatches": json.dumps(self._mismatches)})

    async def _first(self) -> Entry | None:
        found = await self._state.read(after=0, limit=1, states={RowState.CREATED, RowState.ADOPTED})
        return found[0] if found else None

    async def _look_again(self, key: str, endpoint_id: str) -> None:
        entry = await self._state.find_key(key)
        if entry is None or entry.is_gone:
            return
        with suppress(NotFoundError):
            endpoint = await retry_transient(lambda: self._client.endpoints.get(endpoint_id))
            # The state may know nothing of it but this: it was noted before the row was.
            known = evolve(entry, endpoint_id=endpoint_id, made_as=endpoint.username, sent=entry.wanted)
            await check_canary(self._client, known, settle=self._settle)

    async def _examine(self, entry: Entry) -> None:
        try:
            at_once = await check_canary(self._client, entry, settle=self._settle)
        except CanaryError:
            await self.mark_failed(entry)
            raise
        # One that an earlier process made had time to be listed.
        self.was_listed_at_once = at_once and self.made_alone is not None


def read_mismatches(facts: Mapping[str, str]) -> dict[str, str]:
    """Return what does not match and is not mended: key of the row, id of the endpoint."""
    return dict(json.loads(facts.get("mismatches", "{}")))


async def check_canary(client: AsyncClient, entry: Entry, *, settle: float) -> bool:
    """Check that an endpoint just made can be found again as every later one must be.

    Returns:
        Whether the list showed it at the first look.

    Raises:
        CanaryError: Alias or username does not match, or the list does not show it within `settle`.
    """
    check_answer(entry, None)
    found, looks = await _look(client, entry, settle)
    check_listed(entry, found, within=settle)
    return looks == 1


def check_answer(entry: Entry, alias: str | None) -> None:
    """Check that an endpoint just made could be found again, had its answer been lost.

    Raises:
        CanaryError: Alias or username does not match: nor may those of the creates that follow.
    """
    if not is_made_from(entry.sought.username, entry.made_as or ""):
        raise _mismatch(entry, f"it was named {entry.made_as!r}, which is not that name and digits")
    if alias not in (None, entry.sought.alias):
        raise _mismatch(entry, f"its alias came out as {alias!r}")


def check_listed(entry: Entry, found: Found | None, *, within: float) -> None:
    """Check what the list shows of an endpoint just made, or that it does not within so many seconds.

    Raises:
        CanaryError: Nobody could find it again: so may it be with those that follow.
    """
    if found is None:
        raise _mismatch(entry, f"the list did not show it within {within:g} s")
    if found.alias != entry.sought.alias:
        raise _mismatch(entry, f"its alias came out as {found.alias!r}")
    if not is_made_from(entry.sought.username, found.username):
        raise _mismatch(entry, f"the list names it {found.username!r}")


async def _look(client: AsyncClient, entry: Entry, settle: float) -> tuple[Found | None, int]:
    """Look for an endpoint until it is listed or `settle` is over; return also how many looks that took."""
    deadline, pause, looks = time.monotonic() + settle, _FIRST_LOOK, 0
    while True:
        begun = time.monotonic()
        found = await _walk_to(client, entry.endpoint_id)
        looks += 1
        if found or begun >= deadline:
            return found, looks
        await asyncio.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(2 * pause, _LONGEST_LOOK)


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
        "nothing more is created until it matches, or is deleted"
    )

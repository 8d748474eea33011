"""A program that applies a file and kills itself on the way: what the kill loop runs again and again.

Its one argument is JSON: where the account is, the files, and at which step to die or which rule to break.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import evolve

from plivo_endpoints import AsyncClient, RateLimit
from plivo_endpoints.provisioning import CsvSource, _states
from plivo_endpoints.provisioning._entries import Entry, RowState
from plivo_endpoints.provisioning._run import Phases
from plivo_endpoints.provisioning._state._sqlite import SqliteState
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Mapping, Sequence

    from plivo_endpoints.provisioning._state._protocol import Change, Clash, Refusal

# The steps of the state, in the order in which a row goes through them.
EARLY = ("add", "added", "take up", "taken up", "note", "noted")
SENDING = ("intend", "commit", "intended", "finish", "finished")
LATE = ("decide", "decide", "decided", "note", "noted", "note")


class MortalJournal(SqliteState):
    """A state during whose n-th step of one kind the process ends, as if the power had failed."""

    def __init__(self, path: str, step: str | None, count: int) -> None:
        super().__init__(path)
        self._step = step
        self._left = count

    def _reach(self, step: str, times: int = 1) -> None:
        if step == self._step:
            self._left -= times
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        with super()._connected() as connection:
            connection.set_trace_callback(lambda statement: self._reach(statement.lower()))
            yield connection

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """Die before or after rows are added."""
        self._reach("add")
        clashes = await super().add(entries)
        self._reach("added")
        return clashes

    async def take_up(self, edition: int, facts: Mapping[str, str]) -> Sequence[Refusal]:
        """Die before or after a new edition of the source is taken up."""
        self._reach("take up")
        refusals = await super().take_up(edition, facts)
        self._reach("taken up")
        return refusals

    async def note(self, facts: Mapping[str, str]) -> None:
        """Die before or after a fact is noted."""
        self._reach("note")
        await super().note(facts)
        self._reach("noted")

    async def save(self, changes: Sequence[Change]) -> None:
        """Die before or after an intent, a result or a decision."""
        if not changes:
            return
        before, after = changes[0]
        if before.state is RowState.PARKED:
            names = ("decide", "decided")
        elif after.state is RowState.INTENT:
            names = ("intend", "intended")
        else:
            names = ("finish", "finished")
        self._reach(names[0], len(changes))
        await super().save(changes)
        self._reach(names[1], len(changes))


class ForgetfulJournal(MortalJournal):
    """Breaks the rule that the intent comes first: it never writes one."""

    def __init__(self, path: str, step: str | None, count: int) -> None:
        super().__init__(path, step, count)
        self._written: dict[int, Entry] = {}

    async def save(self, changes: Sequence[Change]) -> None:
        """Write results only."""
        kept: list[Change] = []
        for before, after in changes:
            origin = self._written.pop(before.number, before)
            if RowState.INTENT is after.state or (RowState.INTENT, RowState.NEW) == (
                before.state,
                after.state,
            ):
                self._written[before.number] = origin
            else:
                kept.append((origin, after))
        await super().save(kept)


def retry_blindly(entry: Entry, reason: str) -> Entry:
    """Break the rule that a lost create is parked: send it again at once."""
    return evolve(entry, state=RowState.NEW, reason=reason)


async def settle_not(_phases: Phases) -> bool:
    """Break the rule that a lost create is given time to land and be listed."""
    return True


def break_rule(name: str | None) -> None:
    """Break a rule of the protocol."""
    if name == "blind retry":
        _states.parked = retry_blindly
    if name == "no settle":
        Phases._settle = settle_not  # type: ignore[method-assign, assignment]  # pyright: ignore[reportPrivateUsage]


async def main(order: dict[str, Any]) -> None:
    """Apply, and print the report if it comes to that."""
    break_rule(order["broken"])
    kind = ForgetfulJournal if order["broken"] == "no intent" else MortalJournal
    state = kind(order["state"], order["step"], order["count"])
    source = CsvSource(order["csv"])
    limit = RateLimit() if order["limited"] else None
    async with (
        AsyncClient(order["auth_id"], order["auth_token"], base_url=order["url"], rate_limit=limit) as client,
        apply(client, source, state=state, settle=order["settle"]) as run,
    ):
        print("begun", flush=True)  # noqa: T201
        async for _ in run:
            pass
        report = run.report
    print(json.dumps({"status": report.exit_status, "counts": report.counts}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

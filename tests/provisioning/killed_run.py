"""A program that applies a file and kills itself on the way; the kill loop runs it again and again.

Its one argument is JSON: the account, the files, the options of `apply`, and the step at which to die or the
rule to break.
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
from plivo_endpoints.provisioning import CsvSource, Entry, RowState, Spec, SqliteState, _transitions
from plivo_endpoints.provisioning._phases import Phases
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Mapping, Sequence

    from plivo_endpoints.provisioning import Clash, Transition

# The steps of the state, in the order in which a row goes through them.
EARLY = ("add", "added", "take up", "taken up", "note", "noted")
SENDING = ("intend", "commit", "intended", "finish", "finished")
REPLACING = ("replace", "replaced", "drop", "dropped")
CHANGING = ("update", "updated", *REPLACING, "doom", "doomed", "delete", "deleted")
LATE = ("decide", "decide", "decided", "note", "noted", "note")
_DONE = {
    "intend": "intended",
    "finish": "finished",
    "decide": "decided",
    "update": "updated",
    "replace": "replaced",
    "drop": "dropped",
    "doom": "doomed",
    "delete": "deleted",
}


def step_of(before: Entry, after: Entry) -> str:
    """Return what a row goes through as its entry is replaced."""
    steps = {
        "decide": before.state is RowState.PARKED,
        "intend": after.state is RowState.INTENT,
        "update": before.state is RowState.OUTDATED,
        "replace": before.replaces is None and after.replaces is not None,  # by one that is to be made
        "drop": before.replaces is not None and after.replaces is None,  # once that is there
        "doom": after.state is RowState.DELETING,
        "delete": before.state is RowState.DELETING,
    }
    return next((step for step, applies in steps.items() if applies), "finish")


class MortalState(SqliteState):
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

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """Die before or after a new edition of the source is taken up."""
        self._reach("take up")
        await super().take_up(facts)
        self._reach("taken up")

    async def note(self, facts: Mapping[str, str]) -> None:
        """Die before or after a fact is noted."""
        self._reach("note")
        await super().note(facts)
        self._reach("noted")

    async def save(self, changes: Sequence[Transition]) -> None:
        """Die before or after an intent, a result, a decision or a change."""
        if not changes:
            return
        step = step_of(*changes[0])
        self._reach(step, len(changes))
        await super().save(changes)
        self._reach(_DONE[step], len(changes))


class ForgetfulState(MortalState):
    """Breaks the rule that the intent comes first: it never writes one."""

    def __init__(self, path: str, step: str | None, count: int) -> None:
        super().__init__(path, step, count)
        self._written: dict[int, Entry] = {}

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write results only."""
        kept: list[Transition] = []
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


def see_nothing(known: Spec, wanted: Spec) -> tuple[str, ...]:
    """Break the rule that what was edited is updated."""
    del known, wanted
    return ()


async def settle_not(_phases: Phases) -> bool:
    """Break the rule that a lost create is given time to land and be listed."""
    return True


def break_rule(name: str | None) -> None:
    """Break a rule of the protocol."""
    if name == "blind retry":
        _transitions.parked = retry_blindly
    if name == "no update":
        Spec.changes_to = see_nothing  # type: ignore[method-assign, assignment]
    if name == "no settle":
        Phases._settle = settle_not  # type: ignore[method-assign, assignment]  # pyright: ignore[reportPrivateUsage]


async def main(order: dict[str, Any]) -> None:
    """Apply, and print the report if it comes to that."""
    break_rule(order["broken"])
    kind = ForgetfulState if order["broken"] == "no intent" else MortalState
    state = kind(order["state"], order["step"], order["count"])
    source = CsvSource(order["csv"])
    limit = RateLimit() if order["limited"] else None
    async with (
        AsyncClient(order["auth_id"], order["auth_token"], base_url=order["url"], rate_limit=limit) as client,
        apply(client, source, state=state, settle=order["settle"], **order["options"]) as run,
    ):
        print("begun", flush=True)  # noqa: T201
        async for _ in run:
            pass
        report = run.report
    print(json.dumps({"status": report.exit_status, "counts": report.counts}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

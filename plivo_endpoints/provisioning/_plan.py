"""The plan: what a run would do."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping  # noqa: TC003 - type hints resolve the annotations
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from plivo_endpoints.provisioning._attach import attach, check_keys
from plivo_endpoints.provisioning._entries import KEPT, RowState
from plivo_endpoints.provisioning._errors import StaleError
from plivo_endpoints.provisioning._matching import claimant
from plivo_endpoints.provisioning._reach import account_of
from plivo_endpoints.provisioning._state._protocol import batches, batches_of_gone
from plivo_endpoints.provisioning._state._selection import Selection
from plivo_endpoints.provisioning._steps import KINDS, Permission, Step, StepKind, Steps
from plivo_endpoints.provisioning._survey import compare

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry, Spec
    from plivo_endpoints.provisioning._load import Contents
    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._protocol import EntryStore, FleetState

_KIND: Final[Mapping[RowState, StepKind]] = {
    RowState.NEW: "create",
    RowState.INTENT: "create",
    RowState.PARKED: "create",
    RowState.DELETING: "create",  # after finishing the deletion that started before the row came back
    RowState.FOUND: "import",
    RowState.OUTDATED: "update",
    RowState.RENAMED: "replace",
    RowState.VANISHED: "drift",
    RowState.CONFLICT: "conflict",
    RowState.REVIEW: "conflict",
}
_NEEDS: Final[Mapping[RowState, Permission]] = {
    RowState.FOUND: "import",
    RowState.RENAMED: "replace",
    RowState.VANISHED: "recreate",
}


@frozen(kw_only=True)
class Plan:
    """What a run would do.

    Attributes:
        account: URL of the account.
        salt: The salt of `digest`.
        digest: Identifies the source that was planned; slow to compute, so that passwords cannot be guessed
            from it.
        steps: One step for each row that needs an action or a decision, in the order of the source; then
            those for rows that are no longer in the source.
        unchanged: Number of rows that need neither.
        is_partial: Whether it is for some rows only; `apply` does not accept such a plan.
    """

    account: str
    salt: str
    digest: str = field(repr=False)
    steps: Steps = field(factory=Steps)
    unchanged: int = 0
    is_partial: bool = False

    @property
    def counts(self) -> dict[StepKind, int]:
        """Number of steps of each kind."""
        counts: dict[StepKind, int] = {kind: self.steps.kinds.get(kind, 0) for kind in KINDS}
        counts["unchanged"] = self.unchanged
        return counts

    @property
    def summary(self) -> str:
        """The counts as a sentence."""
        parts = [f"{count} {_NAMES.get(kind, kind)}" for kind, count in self.counts.items() if count]
        return f"{', '.join(parts) or 'nothing to do'}."


_NAMES: Final[Mapping[StepKind, str]] = {
    "create": "to create",
    "import": "to import",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
    "drift": "changed on the account",
    "conflict": "in conflict",
}


async def make_plan(
    client: AsyncClient,
    source: RowSource,
    state: FleetState,
    master_key: str | None,
    only: Collection[str] | None,
) -> Plan:
    """Compare a source with a state, if there is one, and the account: see `AsyncFleet.plan`."""
    async with state.scratch_copy() as scratch:
        await check_keys(only, source, scratch)
        contents, _ = await attach(client, source, scratch, master_key)
        await compare(client, scratch)
        plan = await read_plan(Selection(scratch, only), account_of(client), contents)
        return evolve(plan, is_partial=only is not None)


def check_steps(expected: Plan, now: Plan) -> None:
    """Raise `StaleError` if the account has changed since the plan was made, as far as its rows go."""
    if (expected.steps, expected.unchanged) != (now.steps, now.unchanged):
        raise StaleError("the account has changed since the plan was made: plan again")


async def read_plan(state: EntryStore, account: str, contents: Contents) -> Plan:
    """Return the plan that follows from a state after `compare`."""
    steps, unchanged = Steps(), 0
    async with aclosing(batches(state, *RowState)) as entries:
        async for batch in entries:
            for step in map(_step, batch):
                if step.kind == "unchanged":
                    unchanged += 1
                else:
                    steps.add(step)
    async with aclosing(batches_of_gone(state, *KEPT, RowState.DELETING)) as entries:
        async for batch in entries:
            for entry in batch:
                if entry.state is RowState.DELETING or await claimant(state, entry) is None:
                    steps.add(_deletion(entry))
    salt = secrets.token_hex(16)
    return Plan(account=account, salt=salt, digest=contents.digest(salt), steps=steps, unchanged=unchanged)


async def read_drift(state: EntryStore) -> tuple[Step, ...]:
    """Return the changes on the account that `compare` found."""
    steps: list[Step] = []
    async with aclosing(batches(state, RowState.OUTDATED, RowState.VANISHED)) as entries:
        async for batch in entries:
            steps += [step for entry in batch if (step := _step(entry)).kind == "drift"]
    return tuple(steps)


def _step(entry: Entry) -> Step:
    kind: StepKind = _KIND.get(entry.state, "unchanged")
    if entry.state is RowState.OUTDATED and entry.reason is not None:
        kind = "drift"
    if entry.state is RowState.NEW and entry.replaces is not None:
        kind = "replace"
    return Step(
        key=entry.key,
        kind=kind,
        endpoint_id=entry.endpoint_id or entry.replaces,
        changes=_changes(entry.known, entry.wanted)
        if kind in {"import", "update", "replace", "drift"}
        else {},
        needs=_NEEDS.get(entry.state),
        reason=_reason(entry, kind),
        alias=entry.wanted.alias if kind == "create" else None,
        line=entry.line,
    )


def _reason(entry: Entry, kind: StepKind) -> str | None:
    if entry.state is RowState.DELETING:
        return f"after the deletion of endpoint {entry.endpoint_id}, which had started, is finished"
    return entry.reason if kind in {"conflict", "drift"} else None


def _changes(known: Spec | None, wanted: Spec) -> dict[str, tuple[str | None, str | None]]:
    if known is None:
        return {}
    changes: dict[str, tuple[str | None, str | None]] = {
        name: (getattr(known, name), getattr(wanted, name)) for name in known.changes_to(wanted)
    }
    if "password" in changes:  # the values are marks, not passwords
        changes["password"] = (None, None)
    if known.username != wanted.username:
        changes["username"] = (known.username, wanted.username)
    return changes


def _deletion(entry: Entry) -> Step:
    return Step(key=entry.key, kind="delete", endpoint_id=entry.endpoint_id, needs="delete")

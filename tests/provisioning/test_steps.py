"""Single steps that a complete run seldom takes."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints import ConnectError, InvalidArgumentError, RequestTimeoutError
from plivo_endpoints._request_models import NewEndpoint
from plivo_endpoints._resources.endpoints import create_after
from plivo_endpoints.provisioning import Outcome, Row, SqliteState, _transitions, load_plan
from plivo_endpoints.provisioning import _outage as outage_module
from plivo_endpoints.provisioning import _phases as phases_module
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import OutageError, ProvisioningError
from plivo_endpoints.provisioning._listing import CHANGED, Walk
from plivo_endpoints.provisioning._outage import Outage
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.provisioning._results import SipCredentials, private_file, writer
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Progress, Run
    from plivo_endpoints.provisioning._state._protocol import Transition
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


class SlowState(SqliteState):
    """Takes its time with the first two intents."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.intents: list[int] = []

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write, and dawdle."""
        await super().save(changes)
        for _, after in changes:
            if after.state is RowState.INTENT:
                self.intents.append(after.epoch)
                if after.epoch <= 2:
                    await asyncio.sleep(0.15)


async def test_an_intent_that_got_old_is_written_again(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent with an intent that another run may have decided on by now."""
    monkeypatch.setattr(_transitions, "SEND_GUARD", 0.1)
    state = SlowState(tmp_path / "slow.db")
    ended = await applied(rows(1), state=state)
    assert (state.intents, len(sandbox.endpoints)) == ([1, 2, 3], 1)
    assert ended.report.exit_status == ExitStatus.DONE


@pytest.mark.parametrize("late", [False, True])
async def test_a_process_that_was_stopped_after_its_intent(
    client: AsyncClient, sandbox: Sandbox, *, late: bool
) -> None:
    """The time is checked right before the first byte leaves: another process may have decided by now."""

    async def intend() -> float:
        return time.monotonic() + (-0.001 if late else 5.0)

    new = NewEndpoint(username="alice", password="s3cret", alias="desk")
    with pytest.raises(RequestTimeoutError) if late else nullcontext():
        await create_after(client.endpoints, new, intend)
    assert len(sandbox.requests) == (0 if late else 1)


async def test_a_walk_that_endpoints_vanish_from(client: AsyncClient, sandbox: Sandbox) -> None:
    """It knows that it may have missed some; additions make it miss none."""
    sandbox.seed(100)
    for change, expected in ((client.endpoints.delete, CHANGED), (None, None)):
        walk = Walk(client)
        async for _ in walk.pages():
            if change is None:
                sandbox.seed(1)
            else:
                await change(max(sandbox.endpoints))
        assert walk.gap == expected


async def test_an_update_that_fails(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """If refused, it fails the row; if lost, it is repeated, as an update may be."""
    for number in (1, 2):
        await client.endpoints.create(username=f"user{number}x", password="secret", alias=f"row-{number}")
    wanted = [evolve(row, app_id="77") for row in rows(2)]
    sandbox.inject(Fault(applied=False, status=400, body='{"error": "no"}'), times=1, path="Endpoint/*/")
    sandbox.inject(Fault(applied=False, reset=True), times=4, path="Endpoint/*/")
    ended = await applied(wanted, concurrency=1, import_existing=True)
    first, second = sandbox.endpoints
    assert [(outcome.status, outcome.error, outcome.endpoint_id) for outcome in ended.outcomes] == [
        ("failed", f"Plivo refused the update of endpoint {first}: no", None),
        ("updated", None, second),
    ]


async def test_an_update_in_bad_weather(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server errors do not end the run: the update is retried."""
    monkeypatch.setattr(outage_module, "_PAUSES", (0.0, 0.0))
    await client.endpoints.create(username="user1x", password="secret", alias="row-1")
    sandbox.inject(Fault(applied=False, status=503), times=4, method="POST", path="Endpoint/*/")
    ended = await applied([evolve(row, app_id="77") for row in rows(2)], import_existing=True)
    assert {outcome.key: outcome.status for outcome in ended.outcomes} == {
        "key-1": "updated",
        "key-2": "created",
    }


async def test_updates_between_those_that_cannot_be_sent(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no outage if others get through: only a period without any response is."""
    monkeypatch.setattr(phases_module, "Outage", partial(Outage, patience=0.3, pause=0.0))
    monkeypatch.setattr(outage_module, "_PAUSES", ())
    for number in (1, 2, 3):
        await client.endpoints.create(username=f"user{number}x", password="secret", alias=f"row-{number}")
    lost = Fault(applied=False, reset=True)
    for fault, times in ((lost, 3), (Fault(applied=True, latency=0.4), 1), (lost, 3)):
        sandbox.inject(fault, times=times, method="POST", path="Endpoint/*/")
    edited = [evolve(row, app_id="77") for row in rows(3)]
    ended = await applied(edited, concurrency=1, import_existing=True)
    assert ended.report.counts["updated"] == 3


@pytest.mark.slow
async def test_outcomes_that_nobody_reads(rows: Rows, client: AsyncClient, tmp_path: Path) -> None:
    """A run whose outcomes are not read waits, and can still be left without delay."""
    async with apply(client, rows(1500), state=tmp_path / "run.db", concurrency=4) as run:
        while run.progress.counts["created"] < 1000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert run.progress.counts["created"] <= 1000 + 2 * 4
        run.stop()
    assert run.report.counts["created"] <= 1000 + 2 * 4


@pytest.mark.slow
async def test_leaving_while_nothing_can_be_sent(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is being retried is given up at once, and leaves no intent."""
    monkeypatch.setattr(phases_module, "Outage", partial(Outage, pause=0.05))
    sandbox.inject(Fault(applied=False, status=429, headers={"Retry-After": "0.6"}), rate=1.0, method="POST")
    hasty = client.with_options(timeout=1.0)  # a create could not leave within half of that
    async with apply(hasty, rows(3), state=tmp_path / "run.db") as run:
        while len(sandbox.requests) < 5:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        run.stop()
    assert time.monotonic() - begun < 4.0
    assert run._state.number_of(RowState.NEW) == 3


async def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each outage is logged when it begins, not by every worker."""
    outage = Outage(most_lost=3, most_refused=3, pause=0.0)
    error = ConnectError("no network", method="POST", path="Endpoint/")
    await outage.unsent(error)
    await outage.unsent(error)
    outage.done()
    await outage.unsent(error)
    told = ["cannot send requests: no network; retrying for 60 s"] * 2
    assert told == [record.getMessage() for record in caplog.records]


async def test_others_may_use_the_quota_for_longer() -> None:
    """A run waits while they do, for ten times as long as when Plivo cannot be reached."""
    outage = Outage(most_lost=3, most_refused=3, patience=0.01, pause=0.02)
    queued = RequestTimeoutError(
        timeout=1.0, phase="rate limit", method="POST", path="Endpoint/", sent="no", attempts=0
    )
    for _ in range(3):
        await outage.unsent(queued)
    with pytest.raises(OutageError, match="no request could be sent"):
        await outage.unsent(ConnectError("no network", method="POST", path="Endpoint/"))
    with pytest.raises(OutageError, match="rate limit"):
        for _ in range(20):
            await outage.unsent(queued)


class WatchingState(SqliteState):
    """Looks at the run's progress whenever an intent is written."""

    run: Run
    seen: tuple[Progress, ...] = ()

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write, and look."""
        await super().save(changes)
        if any(after.state is RowState.INTENT for _, after in changes):
            self.seen += (self.run.progress,)


async def test_only_lost_creates_wait(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Creates in flight do not; while lost ones settle, the progress shows for how long."""
    sandbox.inject(Fault(applied=True, reset=True), times=1, method="POST")
    state = WatchingState(tmp_path / "run.db")
    async with apply(client, rows(1), state=state, settle=60.0) as run:
        state.run = run
        while run.progress.phase != "settling":
            await asyncio.sleep(0.01)
        told = run.progress
        run.stop()
    assert [(each.waiting, each.settles_in) for each in state.seen] == [(0, None)]
    assert (told.waiting, 0.0 < (told.settles_in or 0.0) <= 60.0) == (1, True)


def test_a_formula_in_a_result(tmp_path: Path) -> None:
    """A spreadsheet must not run contents of a file."""
    with private_file(tmp_path / "out.csv") as file:
        writer(file, "csv", Outcome)(Outcome(key="=cmd()", status="failed", alias="@a", error="-1"))
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "'=cmd(),failed,,,'@a,'-1,0"


def test_passwords_for_a_spreadsheet(tmp_path: Path) -> None:
    """It is refused: in CSV a password would be a formula that runs, or wrong."""
    with private_file(tmp_path / "out") as file:
        with pytest.raises(InvalidArgumentError, match="must be jsonl for passwords"):
            writer(file, "csv", SipCredentials)
        writer(file, "jsonl", SipCredentials)(
            SipCredentials(key="one", status="created", alias="a", password="=secret")
        )
    assert json.loads((tmp_path / "out").read_text())["password"] == "=secret"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"steps": [], "unchanged": 0}', '{"steps": [{"kind": 1}]}', "nonsense"]
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: str) -> None:
    """The error is one line."""
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ProvisioningError, match="is not a plan file"):
        load_plan(tmp_path / "plan.json")

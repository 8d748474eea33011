"""Runs against the sandbox, in this process: what they create, find, change and refuse."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints import AsyncClient, AuthenticationError, RateLimit
from plivo_endpoints.provisioning import (
    CanaryError,
    OutageError,
    Row,
    StaleError,
    StateError,
)
from plivo_endpoints.provisioning import _phases as phases_module
from plivo_endpoints.provisioning._outage import Outage
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.sandbox import Account, Fault, Sandbox
from tests.provisioning.file_layer import FULL, IO_ERROR, is_possible, remembered
from tests.provisioning.fleets import apply, read_credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]
    Rows = Callable[[int], list[Row]]


def ids_by_alias(sandbox: Sandbox) -> dict[str, str]:
    """Return what the account has."""
    return {endpoint.alias: endpoint_id for endpoint_id, endpoint in sandbox.endpoints.items()}


def creates(sandbox: Sandbox) -> int:
    """Count the creates received."""
    return len([r for r in sandbox.requests if r.method == "POST" and r.path.endswith("/Endpoint/")])


def statuses(ended: Ended) -> dict[str, str]:
    """Return each row's status."""
    return {outcome.key: outcome.status for outcome in ended.outcomes}


def endpoints_of(ended: Ended) -> dict[str, str | None]:
    """Return each row's endpoint."""
    return {outcome.key: outcome.endpoint_id for outcome in ended.outcomes}


async def test_every_row_becomes_an_endpoint(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """Each outcome has the endpoint id and the username that Plivo assigned."""
    ended = await applied(rows(40))
    assert {outcome.status for outcome in ended.outcomes} == {"created"}
    made = {outcome.key.replace("key", "row"): outcome.endpoint_id for outcome in ended.outcomes}
    assert made == ids_by_alias(sandbox)
    assert {endpoint.username for endpoint in sandbox.endpoints.values()} == {
        outcome.username for outcome in ended.outcomes
    }
    assert ended.report.exit_status == ExitStatus.DONE


async def test_a_second_run_changes_nothing(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the same state nothing changes; a new one takes over no endpoints without permission."""
    first = await applied(rows(10))
    again = await applied(rows(10))
    assert set(statuses(again).values()) == {"unchanged"}
    assert (again.report.counts["unchanged"], again.report.counts["created"]) == (10, 0)
    anew = await applied(rows(10), state=tmp_path / "other.db")
    assert set(statuses(anew).values()) == {"review"}
    imported = await applied(rows(10), state=tmp_path / "other.db", import_existing=True)
    assert set(statuses(imported).values()) == {"imported"}
    assert endpoints_of(imported) == endpoints_of(again) == endpoints_of(first)
    assert len(sandbox.endpoints) == creates(sandbox) == 10


async def test_no_rows(applied: Apply, sandbox: Sandbox) -> None:
    """An empty source is done at once."""
    ended = await applied([])
    assert (ended.outcomes, ended.report.exit_status, creates(sandbox)) == ([], ExitStatus.DONE, 0)


async def test_what_is_there_already(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox
) -> None:
    """An endpoint with the row's username and alias is imported and updated; any other needs a decision."""
    for name, alias in [("user1x", "row-1"), ("user2x", "row-2"), ("user3x", "mallory"), ("user4x", "row-4")]:
        await client.endpoints.create(username=name, password="old-one", alias=alias, app_id="111")
    for _ in range(2):
        await client.endpoints.create(username="user4x", password="old-one", alias="row-4")
    wanted = [
        evolve(row, app_id=app) for row, app in zip(rows(5), (None, "222", None, None, "333"), strict=True)
    ]
    before = {endpoint_id: endpoint.password for endpoint_id, endpoint in sandbox.endpoints.items()}
    ended = await applied(wanted, import_existing=True)
    assert statuses(ended) == {
        "key-1": "imported",
        "key-2": "updated",
        "key-3": "review",
        "key-4": "review",
        "key-5": "created",
    }
    apps = {endpoint.alias: endpoint.app_id for endpoint in sandbox.endpoints.values()}
    assert (apps["row-1"], apps["row-2"], apps["row-5"]) == ("111", "222", "333")
    assert before == {endpoint_id: sandbox.endpoints[endpoint_id].password for endpoint_id in before}
    reasons = {outcome.key: outcome.error or "" for outcome in ended.outcomes}
    assert reasons["key-3"].endswith("has its username but another alias")
    three = [endpoint_id for endpoint_id, each in sandbox.endpoints.items() if each.alias == "row-4"]
    assert reasons["key-4"] == f"several endpoints match it: {', '.join(sorted(three))}"
    reviewed = [outcome for outcome in ended.outcomes if outcome.status == "review"]
    assert [(each.endpoint_id, each.username, each.alias) for each in reviewed] == [
        (None, None, "row-3"),
        (None, None, "row-4"),
    ]
    assert ended.report.exit_status == ExitStatus.REVIEW


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault(applied=True, status=200, body="<html>bad gateway</html>", content_type="text/html"),
        Fault(applied=True, reset=True),
        Fault(applied=True, status=503),
        Fault(applied=True, truncate_at=10),
        Fault(applied=True, latency=2.0),
    ],
    ids=["page", "reset", "503", "cut", "timeout"],
)
async def test_a_lost_answer_to_a_create_that_worked(
    applied: Apply, rows: Rows, sandbox: Sandbox, fault: Fault
) -> None:
    """The endpoint is found in the lagging list and adopted; the create is sent once."""
    sandbox.list_lag = 0.5
    sandbox.inject(fault, times=1, method="POST")
    account = AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=None, timeout=1.0
    )
    async with account as client:
        ended = await applied(rows(3), settle=1.0, client=client)
    assert statuses(ended) == {"key-1": "adopted", "key-2": "created", "key-3": "created"}
    assert len(sandbox.endpoints) == creates(sandbox) == 3
    assert ended.report.exit_status == ExitStatus.DONE


async def test_a_lost_create_that_did_not_work(
    applied: Apply, rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again after a walk has not found it, and fails with a reason after five times."""
    monkeypatch.setattr(phases_module, "_MOST_LOST_CANARIES", 10)
    sandbox.inject(Fault(applied=False, status=500), times=5, method="POST")
    ended = await applied(rows(1), settle=0.0)
    (outcome,) = ended.outcomes
    assert outcome.status == "failed"
    assert (outcome.error or "").startswith(
        "tried 5 times but not created; last: POST Endpoint/ answered 500"
    )
    assert (creates(sandbox), len(sandbox.endpoints)) == (5, 0)
    assert ended.report.exit_status == ExitStatus.FAILED


async def test_several_found(rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """If several endpoints match a lost row, a person has to decide."""
    sandbox.inject(Fault(applied=True, reset=True), times=1, method="POST")
    async with apply(client, rows(1), state=tmp_path / "run.db", settle=0.5) as run:
        while not sandbox.endpoints:
            await asyncio.sleep(0.01)
        await client.endpoints.create(username="user1x", password="secret", alias="row-1")
        (outcome,) = [outcome async for outcome in run]
    assert outcome.status == "review"
    assert all(endpoint_id in (outcome.error or "") for endpoint_id in sandbox.endpoints)


async def test_a_refused_row(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It fails with Plivo's message, but without the password this may quote; the next row is the canary."""
    body = '{"error": {"alias": ["secret-1 will not do"]}}'
    sandbox.inject(Fault(applied=False, status=400, body=body), times=1, method="POST")
    ended = await applied(rows(3))
    failed = [outcome for outcome in ended.outcomes if outcome.status == "failed"]
    assert [(outcome.key, outcome.error) for outcome in failed] == [
        ("key-1", "Plivo refused it: alias: [secret] will not do")
    ]
    assert ended.report.counts["created"] == 2


async def test_a_refusal_that_is_about_the_account(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It stops the run; no row fails, and the next run creates them all."""
    sandbox.inject(Fault(applied=False, status=401), times=1, method="POST")
    with pytest.raises(AuthenticationError):
        await applied(rows(3))
    assert statuses(await applied(rows(3))) == dict.fromkeys(["key-1", "key-2", "key-3"], "created")


async def test_the_canary_is_not_listed(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A list that lags longer than the settling time would hide lost creates: stop after one endpoint."""
    sandbox.list_lag = 60
    for _ in range(2):  # going on does not make a second
        with pytest.raises(CanaryError, match=r"did not show it within 0\.2 s"):
            await applied(rows(5))
    assert creates(sandbox) == 1


async def test_the_canary_has_another_name(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It could not be found again, as its username is not the requested one with digits added."""
    body = '{"endpoint_id": "123", "username": "somebody", "alias": "row-1", "message": "created"}'
    sandbox.inject(Fault(applied=True, status=201, body=body), times=1, method="POST")
    with pytest.raises(CanaryError, match="username is 'somebody'"):
        await applied(rows(5))
    assert creates(sandbox) == 1


async def test_the_canary_has_another_alias(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It could not be found again by its alias."""
    sandbox.list_lag = 0.5
    with pytest.raises(CanaryError, match="the list shows it with the alias 'changed'"):
        async with apply(client, rows(5), state=tmp_path / "run.db", settle=5.0) as run:
            async for outcome in run:
                await client.endpoints.update(outcome.endpoint_id or "", alias="changed")
    assert creates(sandbox) == 1


async def test_leaving_early(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """No further row is started, those in progress are finished, and the next run does the rest."""
    seen = 0
    async with apply(client, rows(200), state=tmp_path / "run.db", concurrency=4) as run:
        async for _ in run:
            seen += 1
            if seen == 20:
                break
    sent = creates(sandbox)
    assert 20 <= sent < 60  # outcomes wait to be read while others are made
    ended = await applied(rows(200))
    assert (len(ended.outcomes), creates(sandbox), len(sandbox.endpoints)) == (200 - sent, 200, 200)


async def test_the_callers_error_comes_through(rows: Rows, client: AsyncClient, tmp_path: Path) -> None:
    """An exception raised in the block ends the run and is not replaced."""
    with pytest.raises(ZeroDivisionError):
        async with apply(client, rows(50), state=tmp_path / "run.db") as run:
            async for _ in run:
                raise ZeroDivisionError


async def test_an_error_that_nobody_iterated_to(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is raised when the block is left, whether the run went to its end or was stopped."""
    sandbox.inject(Fault(applied=False, status=401), times=2, method="POST")
    with pytest.raises(AuthenticationError):
        async with apply(client, rows(5), state=tmp_path / "run.db"):
            pass
    with pytest.raises(AuthenticationError):
        async with apply(client, rows(5), state=tmp_path / "run.db") as run:
            while creates(sandbox) < 2:
                await asyncio.sleep(0.01)
            run.stop()


async def test_answers_that_are_all_lost(
    applied: Apply, rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The run stops after three canaries, or a hundred rows, and continues when the service recovers."""
    monkeypatch.setattr(phases_module, "MOST_LOST", 10)
    refusing = Fault(applied=False, status=500)
    sandbox.inject(refusing, rate=1.0, method="POST")
    with pytest.raises(OutageError, match="responses to 3 requests in succession"):
        await applied(rows(50), settle=0.0)
    sandbox.clear_faults()
    with pytest.raises(OutageError, match="responses to 10 requests in succession"):
        async with (
            sandbox_client(sandbox) as client,
            apply(client, rows(50), state=tmp_path / "run.db", settle=0.1) as run,
        ):
            async for _ in run:
                sandbox.inject(refusing, rate=1.0, method="POST")
    sandbox.clear_faults()
    ended = await applied(rows(50))
    assert (len(sandbox.endpoints), ended.report.exit_status) == (50, ExitStatus.DONE)


@pytest.mark.slow
async def test_nothing_can_be_sent(  # noqa: PLR0917 - fixtures
    applied: Apply,
    rows: Rows,
    client: AsyncClient,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A row that was never sent is retried for a while, then the run stops; nothing has to settle."""
    # Longer than a create can wait for that is to leave within half of its timeout.
    throttled = Fault(applied=False, status=429, headers={"Retry-After": "0.6"})
    hasty = client.with_options(timeout=1.0)
    monkeypatch.setattr(phases_module, "Outage", partial(Outage, patience=30.0, pause=0.1))
    sandbox.inject(throttled, times=2, method="POST")
    ended = await applied(rows(3), client=hasty, settle=60.0)
    assert ended.report.counts["created"] == 3
    monkeypatch.setattr(phases_module, "Outage", partial(Outage, patience=0.3, pause=0.1))
    sandbox.inject(throttled, rate=1.0, method="POST")
    with pytest.raises(OutageError, match="no request could be sent for"):
        await applied(rows(4), client=hasty, state=tmp_path / "other.db", settle=60.0)


@pytest.mark.skipif(not is_possible(), reason="this Python hides its SQLite")
@pytest.mark.parametrize("failure", [FULL, IO_ERROR], ids=["disk full", "I/O error"])
async def test_a_state_that_fails(applied: Apply, rows: Rows, sandbox: Sandbox, failure: int) -> None:
    """Nothing more is sent, and the run continues when the disk works again."""
    with remembered() as layer:
        layer.failure, layer.fails_at["sync"] = failure, 25
        with pytest.raises(StateError):
            await applied(rows(300), concurrency=8)
        sent = creates(sandbox)
    assert 0 < sent < 300
    await asyncio.sleep(0.1)  # whatever might still come
    assert creates(sandbox) == sent
    ended = await applied(rows(300))
    assert (len(sandbox.endpoints), ended.report.exit_status) == (300, ExitStatus.DONE)
    assert set(sandbox.applied_creates.values()) == {1}


async def test_passwords_from_a_master_key(
    applied: Apply, rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row without a password gets a derived one, the same after a restart; another key is refused."""
    wanted = [evolve(row, password=None) for row in rows(4)]
    sandbox.inject(Fault(applied=False, status=401), times=1, method="POST")
    with pytest.raises(AuthenticationError):
        await applied(wanted, master_key="correct horse battery staple")
    with pytest.raises(StaleError, match="master key"):
        await applied(wanted, master_key="incorrect horse battery staple")
    monkeypatch.setenv("PLIVO_PROVISION_KEY", "correct horse battery staple")
    await applied(wanted)
    assert len({endpoint.password for endpoint in sandbox.endpoints.values()}) == 4


def test_a_derived_password() -> None:
    """It depends on key, run and row only."""
    derive = Deriver("correct horse battery staple", "run-1").password
    assert derive("alice") == Deriver("correct horse battery staple", "run-1").password("alice")
    others = [
        derive("bob"),
        Deriver("correct horse battery staple", "run-2").password("alice"),
        Deriver("incorrect horse battery staple", "run-1").password("alice"),
    ]
    assert derive("alice") not in others
    assert (len(derive("alice")), derive("alice").isalnum()) == (26, True)


async def test_a_state_of_something_else(
    applied: Apply, rows: Rows, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A state of another account, or a file that is no state, is refused before anything is sent."""
    await applied(rows(2))
    with sandbox.fresh_account() as other:
        async with sandbox_client(other) as client:
            with pytest.raises(StaleError, match="the state belongs to"):
                await applied(rows(2), client=client)
    tmp_path.joinpath("notes.txt").write_text("not a database")
    with pytest.raises(StateError, match="not a state of this program"):
        await applied(rows(2), state=tmp_path / "notes.txt")
    assert creates(sandbox) == 2


async def test_a_source_that_changes_on_the_way(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """A row that differs from the validated one is not sent."""

    class Shifting:
        reads = 0

        def __iter__(self) -> Iterator[Row]:
            self.reads += 1
            return iter(rows(4)[self.reads // 2 :])

    with pytest.raises(StaleError, match="row 1 of the source changed"):
        await applied(Shifting())
    assert creates(sandbox) == 0


class Edited:
    """A source that is edited after it was read once."""

    def __init__(self, before: list[Row], after: list[Row]) -> None:
        self._readings = [before]
        self._after = after

    def __iter__(self) -> Iterator[Row]:
        return iter(self._readings.pop() if self._readings else self._after)


async def test_a_password_that_changes_on_the_way(applied: Apply, rows: Rows, sandbox: Sandbox) -> None:
    """It is not sent, as it is not in the source that the state was made for."""
    *same, last = rows(4)
    with pytest.raises(StaleError, match="row 4 of the source changed"):
        await applied(Edited(rows(4), [*same, evolve(last, password="another")]))
    assert last.alias not in {endpoint.alias for endpoint in sandbox.endpoints.values()}


async def test_results_are_not_told_from_another_source(applied: Apply, rows: Rows, tmp_path: Path) -> None:
    """A source that is edited while it is read would give wrong passwords, or too few of them."""
    await applied(rows(4))
    *same, last = rows(4)
    for after, reason in (
        ([*same, evolve(last, password="another")], "row 4 of the source has changed"),
        (same, "become shorter"),
        (rows(5), "row 5 of the source has changed"),
    ):
        with pytest.raises(StaleError, match=reason):
            async for _ in read_credentials(tmp_path / "run.db", Edited(rows(4), after)):
                pass


async def test_one_run_at_a_time(
    rows: Rows, client: AsyncClient, applied: Apply, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A state in use refuses a second run, for any account, and is free afterwards."""
    with sandbox.fresh_account() as other:
        async with apply(client, rows(1), state=tmp_path / "run.db"), sandbox_client(other) as second:
            with pytest.raises(StateError, match=r"in use by another run$"):
                await applied(rows(1), client=second)
    ended = await applied(rows(1))
    assert (statuses(ended), ended.report.exit_status) == ({"key-1": "unchanged"}, ExitStatus.DONE)


@pytest.mark.parametrize("count", [30, pytest.param(1200, marks=pytest.mark.slow)])
async def test_a_block_without_a_loop(
    rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, count: int
) -> None:
    """The run continues to its end: a lost create, more outcomes than the buffer holds, and the audit."""
    sandbox.inject(Fault(applied=True, status=503), times=1, method="POST")
    async with apply(client, rows(count), state=tmp_path / "run.db", settle=0.5) as run:
        pass
    assert (len(sandbox.endpoints), run.progress.phase) == (count, "done")
    assert (run.report.counts["adopted"], run.report.counts["created"]) == (1, count - 1)
    assert run.report.exit_status == ExitStatus.DONE


@pytest.mark.parametrize("is_iterated", [True, False])
async def test_stopping(
    applied: Apply, rows: Rows, client: AsyncClient, sandbox: Sandbox, tmp_path: Path, *, is_iterated: bool
) -> None:
    """No further row is started, the iteration ends by itself, and the next run creates the rest."""
    told: list[str] = []
    async with apply(client, rows(200), state=tmp_path / "run.db", concurrency=4) as run:
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        run.stop()
        if is_iterated:
            told = [outcome.key async for outcome in run]
    made = len(sandbox.endpoints)
    assert 20 <= made <= 20 + 40
    assert (run.report.counts["created"], run.report.counts["unprocessed"]) == (made, 200 - made)
    assert len(told) == (made if is_iterated else 0)
    assert (run.report.audited, run.report.exit_status) == (False, ExitStatus.FAILED)
    ended = await applied(rows(200))
    assert (len(ended.outcomes), creates(sandbox), len(sandbox.endpoints)) == (200 - made, 200, 200)


async def test_a_resumed_run_takes_the_rate_limit_as_spent(
    applied: Apply, rows: Rows, sandbox: Sandbox
) -> None:
    """It is unknown what the previous process sent, so the first request waits for a whole window."""
    await applied(rows(2))
    limit = RateLimit(50, 0.7)
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=limit
    ) as client:
        begun = time.monotonic()
        await applied(rows(2), client=client)
    assert time.monotonic() - begun >= 0.7


def sandbox_client(account: Account) -> AsyncClient:
    """Make a client of an account."""
    return AsyncClient(account.auth_id, account.auth_token, base_url=account.base_url, rate_limit=None)

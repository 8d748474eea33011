"""A run that several processes share, on PostgreSQL; here they are fleets of one process."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from contextlib import AsyncExitStack, nullcontext
from hashlib import md5
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from attrs import evolve

from plivo_endpoints import AsyncClient, InvalidArgumentError
from plivo_endpoints._resources.endpoints import create_after, update_after
from plivo_endpoints.provisioning import (
    AsyncFleet,
    CanaryError,
    PostgresState,
    Row,
    RowState,
    SourceError,
    SqliteState,
    StaleError,
    StateError,
    _change,
    _create,
    _joint,
    _phases,
    _run,
    _sharing,
    _transitions,
)
from plivo_endpoints.provisioning._canary import read_mismatches, stop_all
from plivo_endpoints.provisioning._state import _leases, _postgres_tables
from plivo_endpoints.provisioning._state._protocol import opened
from plivo_endpoints.sandbox import Fault
from tests.provisioning.fleets import leave_in_doubt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints import CreatedEndpoint
    from plivo_endpoints._request_models import NewEndpoint
    from plivo_endpoints._resources.endpoints import AsyncEndpoints
    from plivo_endpoints.provisioning import Outcome, Run
    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

    Hook = Callable[[], Awaitable[float]]
    Rows = Callable[[int], list[Row]]

KEY = "a master key of the tests"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often at what others do."""
    for module in (_joint, _phases, _sharing):
        monkeypatch.setattr(module, "POLL", 0.05)


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """Give the URL of an empty database."""
    return postgres.new_database()


@pytest.fixture
def fleet_of(client: AsyncClient, database: str) -> Callable[[], AsyncFleet]:
    """Make a fleet as another process would: with a state of its own in the same database."""
    return lambda: AsyncFleet(client, PostgresState(database), master_key=KEY)


def derived(count: int) -> list[Row]:
    """Make rows whose passwords are derived."""
    return [Row(username=f"user{number}x", alias=f"row-{number}") for number in range(1, count + 1)]


@pytest.fixture
def expire(postgres: PostgresServer, database: str) -> Callable[[str], None]:
    """Let leases end, as if their processes had been stopped for a while."""
    name = database.rsplit("/", 1)[1]
    update = "UPDATE plivo_workers SET lease_until = 'epoch' WHERE"
    return lambda where: void(postgres.execute(f"{update} {where}", name))


def void(_: object) -> None:
    """Return nothing."""


async def follow(run: Run) -> list[Outcome]:
    """Return the outcomes of a run."""
    return [outcome async for outcome in run]


async def _apply(fleet: AsyncFleet, source: list[Row]) -> Run:
    """Apply a source to its end."""
    async with fleet.apply(source, settle=0.5) as run:
        await follow(run)
    return run


def aliases(sandbox: Sandbox) -> list[str]:
    """Return the aliases of all endpoints."""
    return sorted(endpoint.alias for endpoint in sandbox.endpoints.values())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 3])
async def test_a_run_of_several_processes(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox, processes: int
) -> None:
    """Each row is created once, and reported by the one that created it; all have the same report."""
    sandbox.inject(Fault(applied=True, status=500), rate=0.05, method="POST", seed=3)
    sandbox.inject(Fault(applied=True, latency=0.1), rate=1.0, method="POST")  # they have time to join
    options: dict[str, Any] = {"settle": 0.5, "concurrency": 16}
    async with AsyncExitStack() as stack:
        runs = [
            await stack.enter_async_context(fleet_of().apply(rows(300), **options)) for _ in range(processes)
        ]
        outcomes = await asyncio.gather(*map(follow, runs))
        reports = [run.report for run in runs]
    assert aliases(sandbox) == sorted(row.alias for row in rows(300))
    reported = Counter(outcome.key for some in outcomes for outcome in some)
    assert reported == Counter({row.key: 1 for row in rows(300)})
    assert all(report == reports[0] for report in reports)
    assert (reports[0].exit_status, reports[0].audited) == (0, True)
    assert reports[0].counts["created"] + reports[0].counts["adopted"] == 300
    assert {run.progress.phase for run in runs} == {"done"}
    assert processes == 1 or sum(len(some) > 20 for some in outcomes) > 1, "only one has worked"


@pytest.mark.slow
async def test_who_leads_leaves(fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox) -> None:
    """Another one goes on where it was, and tells what came of the run."""
    async with fleet_of().apply(rows(200), settle=0.5) as first:
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        helping = asyncio.create_task(_apply(fleet_of(), rows(200)))
        first.stop()
    other = await helping
    assert first.report.exit_status != 0
    assert (other.report.exit_status, len(sandbox.endpoints)) == (0, 200)


@pytest.mark.slow
async def test_who_leads_has_ended_and_stays(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox
) -> None:
    """A process whose part has ended, by an error for example, does not lead any more."""
    async with fleet_of().apply(rows(200), settle=0.5) as first:
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        helping = asyncio.create_task(_apply(fleet_of(), rows(200)))
        first.stop()
        await follow(first)
        assert (await helping).report.exit_status == 0
    assert len(sandbox.endpoints) == 200


async def test_a_helper_that_joins_at_the_end(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox
) -> None:
    """A run after another one compares again, and finds nothing to do."""
    for expected in ("created", "unchanged"):
        async with fleet_of().apply(rows(5), settle=0.2) as run:
            await follow(run)
        assert run.report.counts[expected] == 5
    assert len(sandbox.endpoints) == 5


@pytest.mark.slow
async def test_a_leader_that_was_stopped_too_long(
    fleet_of: Callable[[], AsyncFleet],
    rows: Rows,
    sandbox: Sandbox,
    expire: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another one has taken over, so it helps: two that decide would decide twice."""
    async with fleet_of().apply(rows(300), settle=0.5) as first:
        following = asyncio.create_task(follow(first))
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        expire("true")
        async with fleet_of().apply(rows(300), settle=0.5) as other:
            await asyncio.gather(following, follow(other))
    assert aliases(sandbox) == sorted(row.alias for row in rows(300))
    assert first.report == other.report
    assert "another process has taken over this run: continuing as a helper" in caplog.messages


@pytest.mark.slow
async def test_another_edition(fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox) -> None:
    """Two sources at once would be one chaos."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(fleet_of().apply(rows(400), settle=0.5))
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        with pytest.raises(StaleError, match="in progress, with another edition of the source"):
            async with fleet_of().apply(rows(399)) as second:
                await follow(second)
        await follow(first)
    assert (first.report.exit_status, len(sandbox.endpoints)) == (0, 400)


@pytest.mark.slow
async def test_a_mismatch(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops all, whoever meets it, as a lone process that meets one stops."""
    sent = 0

    async def create(endpoints: AsyncEndpoints, new: NewEndpoint, before_send: Hook) -> CreatedEndpoint:
        nonlocal sent
        sent += 1
        return await create_after(endpoints, evolve(new, alias="another") if sent == 60 else new, before_send)

    monkeypatch.setattr(_create, "create_after", create)
    async with AsyncExitStack() as stack:
        runs = [await stack.enter_async_context(fleet_of().apply(rows(600), settle=0.5)) for _ in range(2)]
        ended = await asyncio.gather(*map(follow, runs), return_exceptions=True)
    assert [type(each) for each in ended] == [CanaryError, CanaryError]
    assert 60 <= len(sandbox.endpoints) < 400


async def test_work_without_the_source(fleet_of: Callable[[], AsyncFleet], sandbox: Sandbox) -> None:
    """A worker takes rows from the state, and derives the passwords that a file's owner would get."""
    assert await fleet_of().enqueue(derived(40)) == 40
    assert len(sandbox.requests) == 0
    async with AsyncExitStack() as stack:
        runs = [await stack.enter_async_context(fleet_of().work(settle=0.2)) for _ in range(2)]
        await asyncio.gather(*map(follow, runs))
    assert [run.report.counts["created"] for run in runs] == [40, 40]
    wanted = {
        each.username: md5((each.password or "").encode(), usedforsecurity=False).hexdigest()
        async for each in fleet_of().credentials(derived(40))
    }
    assert {each.username: each.password for each in sandbox.endpoints.values()} == wanted
    async with fleet_of().work() as idle:  # nothing is left to do
        assert await follow(idle) == []
    assert idle.report.exit_status == 0


@pytest.mark.slow
async def test_the_permissions_of_a_run(fleet_of: Callable[[], AsyncFleet], sandbox: Sandbox) -> None:
    """Workers have those that the source was enqueued with."""
    async with fleet_of().apply(derived(12), settle=0.2) as run:
        await follow(run)
    for delete, left in ((False, 12), (True, 11)):
        await fleet_of().enqueue(derived(11), delete=delete)
        async with fleet_of().work(settle=0.2) as run:
            await follow(run)
        assert len(sandbox.endpoints) == left


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_crash_after_a_source_was_taken_up(
    fleet_of: Callable[[], AsyncFleet], database: str, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    """Rows and permissions change together: those of the source before must not apply to this one."""
    await fleet_of().enqueue(derived(3), delete=True)
    if not is_first:
        async with fleet_of().work(settle=0.1) as worker:
            await follow(worker)
    monkeypatch.setattr(PostgresState, "note", Mock(side_effect=StateError("the process was killed")))
    with pytest.raises(StateError, match="killed"):
        await fleet_of().enqueue(derived(2))
    async with opened(PostgresState(database, read_only=True)) as state:
        facts = await state.facts()
        rows = {RowState.NEW: 2} if is_first else {RowState.UNCHANGED: 2}
        assert (await state.count(), json.loads(facts["permissions"])["delete"]) == (rows, False)


async def test_passwords_that_are_only_in_the_source(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox
) -> None:
    """They are never in a database: such rows cannot be enqueued, and a worker cannot create them."""
    with pytest.raises(SourceError, match="row 1, key 'key-1': password: is not kept in the database"):
        await fleet_of().enqueue(rows(2))
    sandbox.inject(Fault(applied=False, status=500), rate=1.0, method="POST")
    await leave_in_doubt(fleet_of()._client, rows(2), fleet_of()._state, master_key=KEY)
    with pytest.raises(StateError, match="'key-1' has a password of its own, which is only in the source"):
        async with fleet_of().work() as run:
            await follow(run)


async def test_work_before_there_is_a_run(fleet_of: Callable[[], AsyncFleet]) -> None:
    """There is nothing to work on."""
    with pytest.raises(StateError, match="there is no state of a fleet"):
        async with fleet_of().work() as run:
            await follow(run)


async def test_work_on_a_fleet_that_is_not_there(client: AsyncClient, database: str) -> None:
    """A mistyped name creates none."""
    await PostgresState(database, "sales").upgrade()
    with pytest.raises(StateError, match="there is no state of a fleet 'slaes'"):
        async with AsyncFleet(client, f"{database}#slaes").work():
            pass
    assert not await PostgresState(database, "slaes").exists()


@pytest.mark.slow
async def test_an_update_that_is_late(
    fleet_of: Callable[[], AsyncFleet],
    sandbox: Sandbox,
    expire: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that was stopped before an update sends it no more: a newer edition may say otherwise."""
    await _apply(fleet_of(), [evolve(row, password="of v1") for row in derived(2)])
    may_go_on, stopped = asyncio.Event(), asyncio.Event()

    async def dawdle(*args: Any) -> None:
        if args[2].password == "of v2":
            stopped.set()
            await may_go_on.wait()
        await update_after(*args)

    monkeypatch.setattr(_change, "update_after", dawdle)
    late = asyncio.create_task(_apply(fleet_of(), [evolve(row, password="of v2") for row in derived(2)]))
    await stopped.wait()
    expire("true")
    await _apply(fleet_of(), [evolve(row, password="of v3") for row in derived(2)])
    may_go_on.set()
    with pytest.raises(StaleError):
        await late
    newest = md5(b"of v3", usedforsecurity=False).hexdigest()
    assert {each.password for each in sandbox.endpoints.values()} == {newest}


@pytest.mark.slow
async def test_an_intent_of_a_process_that_lives(
    fleet_of: Callable[[], AsyncFleet], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its lease has ended, its create may still leave until the intent is too old."""
    monkeypatch.setattr(_transitions, "SEND_GUARD", 1.0)
    state = fleet_of()._state
    assert isinstance(state, PostgresState)
    async with AsyncExitStack() as stack:
        leading = await stack.enter_async_context(fleet_of().apply(derived(1), settle=0.1))
        while not len(sandbox.endpoints):
            await asyncio.sleep(0.01)
        await follow(leading)
    await fleet_of().enqueue(derived(2))
    await state.join()
    await state.lead()
    (entry,) = await state.read(after=0, limit=9, states=NEW)
    await state.save([(entry, stamped(entry))])
    await state.close()
    begun = time.monotonic()
    async with fleet_of().work(settle=0.1) as worker:
        await follow(worker)
    assert time.monotonic() - begun > 1.0
    assert (worker.report.exit_status, len(sandbox.endpoints)) == (0, 2)


async def test_a_file_is_for_one_process(client: AsyncClient, tmp_path: Path) -> None:
    """Nothing of this is possible with one."""
    fleet = AsyncFleet(client, SqliteState(tmp_path / "fleet.db"))
    with pytest.raises(InvalidArgumentError, match="state: must be in PostgreSQL"):
        fleet.work()
    with pytest.raises(InvalidArgumentError, match="state: must be in PostgreSQL"):
        await fleet.enqueue(derived(1))
    assert await fleet.workers() == ()


@pytest.mark.slow
async def test_the_workers_of_a_run(
    fleet_of: Callable[[], AsyncFleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who leads, who helps, and what each has done; nobody once it has ended."""
    monkeypatch.setattr(_leases, "LEASE", 2.0)
    async with AsyncExitStack() as stack:
        runs = [await stack.enter_async_context(fleet_of().apply(derived(5000))) for _ in range(2)]
        workers = await fleet_of().workers()
        while not (sum(worker.done for worker in workers) >= 20 and any(worker.rate for worker in workers)):
            await asyncio.sleep(0.05)
            workers = await fleet_of().workers()
        for run in runs:
            run.stop()
    assert [worker.leads for worker in workers] == [True, False]
    assert {worker.name.split(" on ")[0] for worker in workers} == {f"process {os.getpid()}"}
    assert all(0 < worker.lease <= 2.0 and worker.age > 0 for worker in workers)
    assert await fleet_of().workers() == ()


async def test_the_rate_counts_every_row(
    fleet_of: Callable[[], AsyncFleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are finished while a lease is being renewed."""
    state = fleet_of()._state
    assert isinstance(state, PostgresState)

    async def finish_rows_beside(*arguments: Any) -> object:
        state.count_done(10)
        return await _postgres_tables.run(*arguments)

    monkeypatch.setattr(_leases, "LEASE", 0.5)
    monkeypatch.setattr(_leases, "run", finish_rows_beside)
    await state.join()
    while not any(worker.rate for worker in await state.workers()):
        await asyncio.sleep(0.05)
    await state.close()


async def test_other_commands_during_a_run(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox, database: str
) -> None:
    """Reading is possible, and nothing else; a run for some rows only would be a second run."""
    async with fleet_of().apply(rows(900)) as run:
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        assert (await fleet_of().report()).counts["created"] >= 1
        for call in (fleet_of().audit, fleet_of().delete_duplicates):
            with pytest.raises(StateError, match="another run works on this account"):
                await call()
        with pytest.raises(StateError, match="in use by another run: process"):
            await PostgresState(database).open()
        run.stop()


async def test_a_helper_with_another_account(
    fleet_of: Callable[[], AsyncFleet], database: str, rows: Rows, sandbox: Sandbox
) -> None:
    """It is refused: it would create rows in its own account."""
    with sandbox.fresh_account() as other:
        async with (
            AsyncClient(other.auth_id, other.auth_token, base_url=other.base_url) as stranger,
            fleet_of().apply(rows(900)) as run,
        ):
            while len(sandbox.endpoints) < 20:
                await asyncio.sleep(0.01)
            with pytest.raises(StaleError, match="the state belongs to"):
                await _apply(AsyncFleet(stranger, database, master_key=KEY), rows(900))
            run.stop()
        assert len(other.endpoints) == 0


async def test_a_worker_that_takes_over_before_the_plan(
    fleet_of: Callable[[], AsyncFleet], sandbox: Sandbox
) -> None:
    """The rows that were taken up are there, whether or not they were compared with the account."""
    async with fleet_of().apply(derived(40)) as run:
        while run.progress.phase == "waiting":
            await asyncio.sleep(0)
        run.stop()
        run._work.cancel()
    async with fleet_of().work(settle=0.2) as worker:
        await follow(worker)
    assert (worker.report.counts["created"], len(sandbox.endpoints)) == (40, 40)


async def test_two_fleets_of_one_account(
    client: AsyncClient, database: str, rows: Rows, sandbox: Sandbox
) -> None:
    """They could not tell their creates apart, on whichever hosts they run."""
    async with AsyncFleet(client, f"{database}#first").apply(rows(900)) as run:
        while len(sandbox.endpoints) < 20:
            await asyncio.sleep(0.01)
        with pytest.raises(StateError, match="another run works on this account, for the fleet 'first'"):
            async with AsyncFleet(client, f"{database}#second").apply(rows(900)) as second:
                await follow(second)
        run.stop()


async def test_a_state_of_another_account(
    client: AsyncClient, database: str, rows: Rows, sandbox: Sandbox
) -> None:
    """Two fleets of one name are told apart by their accounts."""
    async with AsyncFleet(client, database).apply(rows(1), settle=0.2) as run:
        await follow(run)
    with sandbox.fresh_account() as other:
        async with AsyncClient(other.auth_id, other.auth_token, base_url=other.base_url) as stranger:
            with pytest.raises(StaleError, match="the state belongs to"):
                async with AsyncFleet(stranger, database).apply(rows(1)) as second:
                    await follow(second)


async def test_two_fleets_of_one_account_at_the_same_moment(
    client: AsyncClient, database: str, rows: Rows, sandbox: Sandbox
) -> None:
    """One of them works, whichever it is; the other is refused."""
    await PostgresState(database).upgrade()
    ended = await asyncio.gather(
        *(_apply(AsyncFleet(client, f"{database}#{name}"), rows(30)) for name in "ab"),
        return_exceptions=True,
    )
    assert len([each for each in ended if isinstance(each, StateError)]) == 1
    assert len(sandbox.endpoints) == 30


@pytest.mark.slow
async def test_a_run_for_some_rows_ends_no_other(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for all rows goes on with the others."""
    monkeypatch.setattr(_run, "account_locked", Mock(return_value=nullcontext()))  # as on two hosts
    async with fleet_of().apply(rows(60), settle=0.3) as run:
        while len(sandbox.endpoints) < 3:
            await asyncio.sleep(0.01)
        run.stop()
    sandbox.inject(Fault(applied=True, latency=0.5), rate=1.0, method="POST")
    async with fleet_of().apply(rows(60), only=["key-55"], settle=0.3) as some:
        waiting = asyncio.create_task(_apply(fleet_of(), rows(60)))
        await follow(some)
    assert some.report.counts["created"] == 1
    assert ((await waiting).report.exit_status, len(sandbox.endpoints)) == (0, 60)


async def test_waiting_for_another_edition(fleet_of: Callable[[], AsyncFleet], sandbox: Sandbox) -> None:
    """Two hosts apply different files at once: the second is refused, also if nothing is created."""
    await _apply(fleet_of(), derived(12))
    walking = Fault(applied=True, latency=0.3)
    sandbox.inject(walking, rate=1.0, method="GET")
    async with fleet_of().apply(derived(12), settle=0.1) as first:
        second = asyncio.create_task(_apply(fleet_of(), derived(11)))
        await follow(first)
    with pytest.raises(StaleError, match="another edition of the source: check which is right"):
        await second
    assert len(sandbox.endpoints) == 12


async def test_an_edition_that_came_later(
    fleet_of: Callable[[], AsyncFleet], rows: Rows, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped in an older run does not go back to that, least of all to delete."""
    sandbox.inject(Fault(applied=True, latency=0.5), times=1, method="POST")
    go_on, may_go_on = _joint.JointRun._go_on, asyncio.Event()

    async def stopped(part: _joint.JointRun) -> None:
        if part._joined is not None and part._phases is None:
            await may_go_on.wait()
        await go_on(part)

    monkeypatch.setattr(_joint.JointRun, "_go_on", stopped)
    async with fleet_of().apply(rows(12), settle=0.2) as first:
        older = asyncio.create_task(_apply(fleet_of(), rows(12)))
        await follow(first)
    async with fleet_of().apply(rows(20)[2:], settle=0.2, delete=True) as later:
        while later.progress.phase != "auditing":
            await asyncio.sleep(0)
        later.stop()
        later._work.cancel()
        may_go_on.set()
        with pytest.raises(
            StaleError, match="another edition of the source was taken up since this process began"
        ):
            await older
    assert len(sandbox.endpoints) == 18


# -- the state itself


@pytest.fixture
async def pair(database: str) -> Any:
    """Give the states of two processes with two rows, of which the first leads and shares them."""
    first, second = PostgresState(database), PostgresState(database)
    async with AsyncExitStack() as stack:
        for state in (first, second):
            await state.join()
            stack.push_async_callback(state.close)
        assert await first.lead()
        entries = [evolve(entry, number=number) for number, entry in enumerate(map(entry_of, derived(2)), 1)]
        await first.add(entries)
        await first.take_up({"digest": EDITION})
        await first.allow_claims()
        yield first, second


def entry_of(row: Row) -> Any:
    """Return a new entry."""
    from plivo_endpoints.provisioning import Entry, Spec  # noqa: PLC0415

    return Entry(number=1, line=1, key=row.key, wanted=Spec(username=row.username, alias=row.alias))


def stamped(entry: Any) -> Any:
    """Return an entry with an intent."""
    from plivo_endpoints.provisioning._transitions import stamp  # noqa: PLC0415

    return stamp(entry, 1.5)


Pair = tuple[PostgresState, PostgresState]
NEW = (RowState.NEW,)
EDITION = "the digest of a source"


async def test_a_row_has_one_worker(pair: Pair) -> None:
    """Who asks again gets its own rows again, as the first answer may have been lost; others do not."""
    first, second = pair
    (mine,) = await first.claim(edition=EDITION, after=0, limit=1, states=NEW)
    (others,) = await second.claim(edition=EDITION, after=0, limit=9, states=NEW)
    assert (mine.number, others.number) == (1, 2)
    assert [entry.number for entry in await first.claim(edition=EDITION, after=0, limit=9, states=NEW)] == [1]
    await second.release_claims()
    assert [entry.number for entry in await first.claim(edition=EDITION, after=0, limit=9, states=NEW)] == [
        1,
        2,
    ]


async def test_a_worker_with_another_source(pair: Pair) -> None:
    """It gets no rows of an edition that it does not have: it would create what its own source says."""
    first, second = pair
    assert await second.claim(edition="that of last week", after=0, limit=9, states=NEW) == []
    await first.revoke_claims()
    await first.take_up({"digest": "that of next week"})
    await first.allow_claims()
    assert await second.claim(edition=EDITION, after=0, limit=9, states=NEW) == []


async def test_a_worker_that_was_stopped_too_long(pair: Pair, expire: Callable[[str], None]) -> None:
    """Its rows are another's: its intent is not written, so nothing is sent; all else still works."""
    first, second = pair
    one, two = await second.claim(edition=EDITION, after=0, limit=9, states=NEW)
    expire(f"id = {second._member.worker}")
    (taken, _) = await first.claim(edition=EDITION, after=0, limit=9, states=NEW)
    intent = stamped(taken)
    await first.save([(taken, intent)])
    with pytest.raises(StateError, match="row 1 was taken by another process"):
        await second.save([(one, stamped(one))])
    with pytest.raises(StateError, match="row 2 was taken by another process"):
        await second.save([(two, stamped(two))])
    assert await first.find_key(one.key) == intent
    await second.facts()


async def test_texts_that_cannot_be_stored(pair: Pair) -> None:
    """An endpoint of a stranger with a null character in its name belongs to no row."""
    first, _ = pair
    assert (await first.find(["a\0b"]), await first.holders(["a\0b"])) == ([], [])


async def test_what_is_in_flight_is_waited_for(pair: Pair, expire: Callable[[str], None]) -> None:
    """An intent of a live worker stays its own; one of a dead worker becomes the leader's to decide on."""
    first, second = pair
    one, two = await second.claim(edition=EDITION, after=0, limit=9, states=NEW)
    intent = stamped(one)
    await second.save([(one, intent)])
    assert await first.revoke_claims() == 1
    with pytest.raises(StateError, match="row 2 was taken"):  # a claim without an intent is void
        await second.save([(two, stamped(two))])
    assert await second.claim(edition=EDITION, after=0, limit=9, states=NEW) == []
    expire(f"id = {second._member.worker}")
    assert await first.revoke_claims() == 0
    parked = evolve(intent, state=RowState.PARKED)
    await first.save([(intent, parked)])
    assert await first.find_key(one.key) == parked


async def save_unclaimed(state: PostgresState) -> None:
    """Change a row that nobody has claimed."""
    entry = entry_of(derived(1)[0])
    await state.save([(entry, stamped(entry))])


WRITES: dict[str, Callable[[PostgresState], Awaitable[Any]]] = {
    "note": lambda state: state.note({"done": "yes"}),
    "allow claims": lambda state: state.allow_claims(),
    "revoke claims": lambda state: state.revoke_claims(),
    "clear": lambda state: state.clear(),
    "discard": lambda state: state.discard(),
    "add": lambda state: state.add([]),
    "take up": lambda state: state.take_up({}),
    "save": save_unclaimed,
}


@pytest.mark.parametrize("write", WRITES)
async def test_only_the_leader_writes(pair: Pair, write: str) -> None:
    """Whatever is not a claimed row; and who no longer leads learns it."""
    first, second = pair
    before = await first.read(after=0, limit=9, states=tuple(RowState))
    with pytest.raises(StateError, match="another process has taken over this run"):
        await WRITES[write](second)
    assert await first.facts() == {"digest": EDITION}
    assert await first.read(after=0, limit=9, states=tuple(RowState)) == before
    assert await first.lead()


async def test_mismatches_of_two_processes(pair: Pair) -> None:
    """Each is remembered, and nobody gets a row any more; also from who does not lead."""
    first, second = pair
    made = [evolve(entry_of(row), endpoint_id=str(number)) for number, row in enumerate(derived(2), 1)]
    await asyncio.gather(stop_all(first, made[0]), stop_all(second, made[1]))
    facts = await first.facts()
    assert (facts["proven"], read_mismatches(facts)) == ("", {"user1x": "1", "user2x": "2"})
    assert await first.claim(edition=EDITION, after=0, limit=9, states=NEW) == []


async def test_what_is_pending_when_a_state_is_closed(database: str) -> None:
    """It is written, also if nobody waits for it any more."""
    state = PostgresState(database)
    await state.open()
    entry = entry_of(derived(1)[0])
    await state.add([entry])
    await state.take_up({})
    saving = asyncio.create_task(state.save([(entry, stamped(entry))]))
    await asyncio.sleep(0)
    saving.cancel()
    await state.close()
    async with opened(PostgresState(database)) as again:
        assert await again.find_key(entry.key) == stamped(entry)


@pytest.mark.parametrize("change", ["save", "add", "take up"])
async def test_what_is_repeated_after_a_lost_connection(
    pair: Pair, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction may have been committed when the connection was lost: to repeat it does no harm."""
    first, _ = pair
    database = first._database
    assert database is not None
    attempt = database._try

    async def lose_the_answer(group: Any) -> Any:
        monkeypatch.setattr(database, "_try", attempt)
        await attempt(group)
        assert database._connection is not None
        await database._connection.close()
        raise ConnectionError("the answer is lost")

    (entry, _) = await first.read(after=0, limit=9, states=NEW)
    monkeypatch.setattr(database, "_try", lose_the_answer)
    if change == "save":
        await first.save([(entry, stamped(entry))])
        assert (await first.find_key(entry.key)) == stamped(entry)
    else:
        added = [entry_of(row) for row in derived(1)]
        if change == "take up":
            monkeypatch.setattr(database, "_try", attempt)
            await first.add(added)
            monkeypatch.setattr(database, "_try", lose_the_answer)
            await first.take_up({"digest": "d"})
            assert (await first.count(), await first.facts()) == ({RowState.NEW: 1}, {"digest": "d"})
        else:
            assert await first.add(added) == []

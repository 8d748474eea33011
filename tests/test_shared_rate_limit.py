"""A rate limit that several processes share: what its places are worth, and what happens without its file."""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints import (
    AsyncClient,
    Client,
    InvalidArgumentError,
    Pace,
    PostgresRateLimit,
    RateLimit,
    RateLimitedError,
    RateLimitStoreError,
    RequestTimeoutError,
    Reservation,
    SharedRateLimit,
    _shared_window,
)
from plivo_endpoints import _shared_rate_limit as module
from plivo_endpoints._sansio.pacing import HORIZON
from plivo_endpoints._shared_window import SharedWindow
from plivo_endpoints.provisioning import AsyncFleet, Row
from plivo_endpoints.sandbox import Fault
from tests.provisioning.quota import most_in_a_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints import Priority, RateLimitStore
    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

ACCOUNT: Final = "https://api.plivo.com/v1/Account/MA0123456789ABCDEFGH/"
OTHER: Final = "https://api.plivo.com/v1/Account/MA9876543210ABCDEFGH/"
LIMIT: Final = RateLimit(100, 5.0)
GAP: Final = 0.05


class MemoryStore:
    """A store as a user would write it, for one process; it can be made to fail."""

    def __init__(self, limit: RateLimit = LIMIT, processes: int = 4) -> None:
        self.limit = limit
        self.processes = processes
        self.paces: dict[str, Pace] = {}
        self.asked: list[tuple[Priority, int]] = []
        self.now = 0.0
        self.failure: str | None = None

    async def reserve(self, account: str, places: int, *, priority: Priority) -> Reservation:
        """Reserve."""
        self._check()
        self.asked.append((priority, places))
        pace = self.paces.get(account, Pace())
        gap = self.limit.seconds / self.limit.requests
        self.paces[account], reservation = pace.reserve(self.now, places, gap=gap, priority=priority)
        return reservation

    async def pause(self, account: str, seconds: float) -> None:
        """Pause."""
        self._check()
        self.paces[account] = self.paces.get(account, Pace()).pause(self.now + seconds)

    def _check(self) -> None:
        if self.failure is not None:
            raise RateLimitStoreError(self.failure)


@pytest.fixture(autouse=True)
def _no_pace_of_an_earlier_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_window, "_OWN_PACES", {})


@pytest.fixture(params=["in memory", "in a file", "in PostgreSQL"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RateLimitStore:
    """Every store must do what the tests of it say."""
    if request.param == "in memory":
        return MemoryStore()
    if request.param == "in a file":
        return SharedRateLimit(tmp_path / "quota.db", LIMIT)
    server: PostgresServer = request.getfixturevalue("postgres")
    return PostgresRateLimit(server.new_database(), LIMIT)


def gaps(waits: tuple[float, ...]) -> list[float]:
    """Return the seconds between places."""
    return [round(later - earlier, 6) for earlier, later in pairwise(waits)]


async def test_places_are_evenly_spaced(store: RateLimitStore) -> None:
    """The first is free at once, and the next reservation goes on where this one ends."""
    first = await store.reserve(ACCOUNT, 3, priority="interactive")
    assert 0.0 == first.waits[0]
    assert [GAP, GAP] == gaps(first.waits)
    second = await store.reserve(ACCOUNT, 1, priority="interactive")
    assert 2 * GAP < second.waits[0] <= 3 * GAP


async def test_each_account_has_its_own(store: RateLimitStore) -> None:
    """What one sends leaves another's places free."""
    await store.reserve(ACCOUNT, 10, priority="interactive")
    assert (0.0,) == (await store.reserve(OTHER, 1, priority="interactive")).waits


async def test_bulk_gets_what_is_left(store: RateLimitStore) -> None:
    """Nothing while interactive requests have the next places, and never more than a few."""
    first = await store.reserve(ACCOUNT, 50, priority="bulk")
    assert 2 <= len(first.waits) <= 1 + HORIZON["bulk"] / GAP
    await store.reserve(ACCOUNT, 10, priority="interactive")
    nothing = await store.reserve(ACCOUNT, 1, priority="bulk")
    assert () == nothing.waits
    assert 0.2 < nothing.retry_after < 0.4


async def test_interactive_places_are_not_given_out_far_ahead(store: RateLimitStore) -> None:
    """Places that nobody waits for any longer would be lost to all."""
    some = await store.reserve(ACCOUNT, 1_000, priority="interactive")
    assert len(some.waits) <= 2 + HORIZON["interactive"] / GAP
    assert some.retry_after > 0


async def test_a_pause_is_for_all(store: RateLimitStore) -> None:
    """No place before its end, whatever the priority; a shorter one later does not end it."""
    await store.pause(ACCOUNT, 30.0)
    await store.pause(ACCOUNT, 1.0)
    nothing = await store.reserve(ACCOUNT, 1, priority="interactive")
    assert () == nothing.waits
    assert 28.0 < nothing.retry_after < 30.0
    assert (0.0,) == (await store.reserve(OTHER, 1, priority="bulk")).waits


PRIORITIES: Final = st.sampled_from(["interactive", "bulk"])


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 40), PRIORITIES)))
def test_no_two_places_are_closer_than_the_limit_says(asked: list[tuple[float, int, Priority]]) -> None:
    """Whoever asks, when, and for how many; and asking again when told brings at least one."""
    pace, now, places = Pace(), 1_000.0, list[float]()
    for later, count, priority in asked:
        now += later
        pace, reservation = pace.reserve(now, count, gap=GAP, priority=priority)
        assert len(reservation.waits) == count or reservation.retry_after > 0
        assert all(0 <= wait <= HORIZON[priority] + 1e-9 for wait in reservation.waits)
        places += [now + wait for wait in reservation.waits]
        _, again = pace.reserve(now + reservation.retry_after + 1e-9, 1, gap=GAP, priority=priority)
        assert again.waits or len(reservation.waits) == count
    assert all(later - earlier > GAP - 1e-6 for earlier, later in pairwise(places))


async def test_objects_share_a_file(tmp_path: Path) -> None:
    """A place is given once; each object stands for a process."""
    path = tmp_path / "quota.db"
    stores = [SharedRateLimit(path, LIMIT) for _ in range(4)]
    reservations = [await store.reserve(ACCOUNT, 1, priority="interactive") for store in stores]
    assert [1, 1, 1, 1] == [len(reservation.waits) for reservation in reservations]
    assert 2 * GAP < reservations[-1].waits[0] <= 3 * GAP


MANY: Final = """
import asyncio, sys
from plivo_endpoints import RateLimit, SharedRateLimit
from plivo_endpoints._sansio import pacing

pacing.HORIZON = {"interactive": 1e9}

async def main():
    store = SharedRateLimit(sys.argv[1], RateLimit(1, 1.0))
    for _ in range(50):
        await store.reserve("account", 1, priority="interactive")

asyncio.run(main())
"""


@pytest.mark.slow
def test_processes_that_start_together(tmp_path: Path) -> None:
    """None fails because another is just making the file, and no place is given twice."""
    path = tmp_path / "quota.db"
    command = [sys.executable, "-c", MANY, str(path)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(6)]  # noqa: S603
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [b""] * 6 == said
    with closing(sqlite3.connect(path)) as db:
        ((next_place, written),) = db.execute("SELECT next_place, written FROM paces")
    assert 300 - 60 < next_place - written <= 300  # one a second; what is missing is the time that it took


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_forks_share_it(tmp_path: Path) -> None:
    """Also when the parent has used it, is using it at that moment, and ends before the child."""
    path = tmp_path / "quota.db"
    store = SharedRateLimit(path, RateLimit(100_000, 5.0))
    stop = threading.Event()

    async def use() -> None:
        while not stop.is_set():
            await store.reserve(ACCOUNT, 1, priority="interactive")

    user = threading.Thread(target=asyncio.run, args=(use(),))
    user.start()
    children: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread, which is meant
        for number in range(20):
            if (child := os.fork()) == 0:
                found = asyncio.run(store.reserve(f"{OTHER}{number}", 1, priority="interactive"))
                os._exit(len(found.waits) - 1)
            children.append(child)
    stop.set()
    user.join()
    assert [0] * 20 == [os.waitpid(child, 0)[1] for child in children]


def test_it_travels_to_a_process_that_is_spawned(tmp_path: Path) -> None:
    """Pickled, it is the same limit; and it shows which."""
    store = SharedRateLimit(tmp_path / "quota.db", LIMIT, processes=3)
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert (store.path, LIMIT, 3) == (copy.path, copy.limit, copy.processes)
    assert repr(store) == repr(copy)
    assert "quota.db', RateLimit(requests=100, seconds=5.0), processes=3)" in repr(store)


async def test_after_a_restart_of_the_host(tmp_path: Path) -> None:
    """Its clock starts again, and what was written before means nothing."""
    path = tmp_path / "quota.db"
    store = SharedRateLimit(path, LIMIT)
    await store.pause(ACCOUNT, 100.0)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE paces SET paused_until = paused_until + 1e6, written = written + 1e6")
    assert (0.0,) == (await store.reserve(ACCOUNT, 1, priority="bulk")).waits


def test_a_file_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """By whoever needs it first; until then nothing is lost."""
    path = tmp_path / "quota.db"
    one, other = SharedRateLimit(path, LIMIT), SharedRateLimit(path, LIMIT)
    for store in (one, other):
        asyncio.run(store.reserve(ACCOUNT, 1, priority="bulk"))
    for each in tmp_path.iterdir():
        each.unlink()
    asyncio.run(one.reserve(ACCOUNT, 4, priority="interactive"))
    assert asyncio.run(other.reserve(ACCOUNT, 1, priority="interactive")).waits[0] > 0.1


async def test_a_file_that_others_hold_is_waited_for(tmp_path: Path) -> None:
    """Meanwhile the loop runs."""
    path = tmp_path / "quota.db"
    store = SharedRateLimit(path, LIMIT)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        asked = asyncio.create_task(store.reserve(ACCOUNT, 1, priority="bulk"))
        done, _ = await asyncio.wait({asked}, timeout=0.1)
        assert not done
        db.execute("ROLLBACK")
        assert (0.0,) == (await asked).waits


async def test_a_file_that_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with its name."""
    monkeypatch.setattr(module, "_LONGEST_BUSY", 0.0)
    path = tmp_path / "quota.db"
    store = SharedRateLimit(path, LIMIT)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(RateLimitStoreError, match=r"quota\.db: database is locked"):
            await store.reserve(ACCOUNT, 1, priority="bulk")


def _make_text_file(path: Path) -> None:
    path.write_text("key,username,alias,password\n" * 100)


def _make_other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE mine (x)")


def _make_other_database_with_a_log(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE mine (x)")


def _make_newer_one(path: Path) -> None:
    SharedRateLimit(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_make_text_file, "it is not a rate limit of this program"),
        (_make_other_database, "it is not a rate limit of this program"),
        (_make_other_database_with_a_log, "it is not a rate limit of this program"),
        (_make_newer_one, "it is a rate limit of another version of this program"),
        (Path.mkdir, "it is not a file"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    """It is refused at once, and left as it is."""
    path = tmp_path / "quota.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InvalidArgumentError, match=f"path: cannot use .*quota.db': {problem}"):
        SharedRateLimit(path)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """It is not made, as the path is probably a mistake."""
    with pytest.raises(InvalidArgumentError, match="there is no folder"):
        SharedRateLimit(tmp_path / "missing" / "quota.db")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For clients whose code says nothing about a limit."""
    path = tmp_path / "quota.db"
    monkeypatch.setenv("PLIVO_RATE_LIMIT", str(path))
    Client("MA0123456789ABCDEFGH", "token", rate_limit=RateLimit(10))
    assert not path.exists()
    Client("MA0123456789ABCDEFGH", "token")
    assert path.exists()
    monkeypatch.setenv("PLIVO_RATE_LIMIT", "58")
    with pytest.raises(InvalidArgumentError, match="PLIVO_RATE_LIMIT: must be the absolute path of a file"):
        Client("MA0123456789ABCDEFGH", "token")
    monkeypatch.setenv("PLIVO_RATE_LIMIT", str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="PLIVO_RATE_LIMIT: cannot use"):
        AsyncClient("MA0123456789ABCDEFGH", "token")


@frozen
class Hand:
    """A clock that a test moves."""

    times: list[float] = field(factory=lambda: [0.0])

    def __call__(self) -> float:
        """Return the time."""
        return self.times[0]

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.times[0] += seconds


async def test_a_place_is_taken_in_its_time() -> None:
    """Not before, and not long after, as late ones would come in a burst."""
    store, clock = MemoryStore(), Hand()
    window = SharedWindow(store, ACCOUNT, clock)
    assert 0.0 == await window.find(clock(), wanted=3, priority="interactive")
    assert GAP == await window.find(clock(), wanted=2, priority="interactive")
    clock.move(GAP)
    assert clock() == window.reserve(clock())
    clock.move(1.0)  # the third is too old now
    store.now = clock()
    assert math.inf == window.reserve(clock())
    assert 0.0 == await window.find(clock(), wanted=1, priority="interactive")
    assert 2 == len(store.asked)


async def test_places_count_from_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the store takes, none is used before its time."""
    store, clock = MemoryStore(), Hand()
    window = SharedWindow(store, ACCOUNT, clock)
    reserve = store.reserve

    async def slowly(account: str, places: int, *, priority: Priority) -> Reservation:
        clock.move(1.0)
        return await reserve(account, places, priority=priority)

    monkeypatch.setattr(store, "reserve", slowly)
    assert 0.0 == await window.find(clock(), wanted=2, priority="interactive")
    assert 1.0 + GAP == window.reserve(clock())


async def test_without_a_place_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the store says to ask again at once, or another loop has taken the place meanwhile."""
    store, clock = MemoryStore(), Hand()
    window = SharedWindow(store, ACCOUNT, clock)

    async def give_nothing(account: str, places: int, *, priority: Priority) -> Reservation:  # noqa: ARG001
        return Reservation()

    monkeypatch.setattr(store, "reserve", give_nothing)
    assert await window.find(clock(), wanted=1, priority="interactive") > 0


async def test_each_priority_asks_for_its_own(sandbox: Sandbox) -> None:
    """An interactive call does not fetch places for the bulk ones behind it."""
    store = MemoryStore(RateLimit(1, 60.0))
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
        bulk = client.with_options(priority="bulk").endpoints
        calls = [asyncio.create_task(bulk.list_page()) for _ in range(20)]
        calls += [asyncio.create_task(client.endpoints.list_page()) for _ in range(2)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert max(places for priority, places in store.asked if priority == "interactive") <= 2


async def test_without_its_store_a_process_keeps_to_its_share(caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, tries the store again every second, and says when it is back."""
    store, clock = MemoryStore(processes=4), Hand()
    window = SharedWindow(store, ACCOUNT, clock)
    store.failure = "the disk is full"
    sent: list[float] = []
    told = "the shared rate limit cannot be used (the disk is full): until it can, at most 25 requests in 5 s"
    while clock() < 10.0:
        if seconds := await window.find(clock(), wanted=5, priority="interactive"):
            clock.move(seconds)
        else:
            sent.append(clock())
    assert 9.0 < len(sent) * GAP * store.processes < 11.0
    assert [told] == caplog.messages
    store.failure, store.now = None, clock()
    clock.move(1.0)
    await window.find(clock(), wanted=1, priority="interactive")
    assert "the shared rate limit can be used again" == caplog.messages[-1]
    assert [("interactive", 1)] == store.asked


async def test_a_429_pauses_all_processes(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another client with the same file sends nothing until the pause is over."""
    path = tmp_path / "quota.db"
    account = (sandbox.auth_id, sandbox.auth_token)
    async with (
        AsyncClient(*account, base_url=sandbox.base_url, rate_limit=SharedRateLimit(path)) as one,
        AsyncClient(*account, base_url=sandbox.base_url, rate_limit=SharedRateLimit(path)) as other,
    ):
        await other.endpoints.list_page()
        sandbox.inject(Fault(applied=False, status=429, headers={"Retry-After": "60"}))
        with pytest.raises(RateLimitedError):
            await one.endpoints.list_page()
        seen = len(sandbox.requests)
        with pytest.raises(RequestTimeoutError, match="rate limit"):
            await other.with_options(timeout=2.0).endpoints.list_page()
        assert seen == len(sandbox.requests)


async def test_a_store_that_fails_hides_no_429(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The call ends as it would have, and this process pauses all the same."""
    store = MemoryStore()
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
        await client.endpoints.list_page()
        store.failure = "gone"
        sandbox.inject(Fault(applied=False, status=429, headers={"Retry-After": "60"}))
        with pytest.raises(RateLimitedError):
            await client.endpoints.list_page()
    assert any("cannot be used (gone)" in message for message in caplog.messages)


@pytest.mark.slow
async def test_clients_with_one_file_keep_the_limit(sandbox: Sandbox, tmp_path: Path) -> None:
    """Three saturate it for some windows: never more than allowed in any, and nearly all of it used."""
    limit, path = RateLimit(40, 1.0), tmp_path / "quota.db"

    async def saturate(priority: Priority) -> None:
        shared = SharedRateLimit(path, limit)
        account = (sandbox.auth_id, sandbox.auth_token)
        async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=shared) as client:
            view = client.with_options(priority=priority)
            await asyncio.gather(*[view.endpoints.list_page(limit=1) for _ in range(30)])

    await asyncio.gather(saturate("bulk"), saturate("bulk"), saturate("interactive"))
    times = sorted(record.at.timestamp() for record in sandbox.requests)
    assert 90 == len(times)
    # A busy machine may delay a request by more than a place is wide.
    assert most_in_a_window(times, limit.seconds) <= limit.requests * 1.1
    assert times[-1] - times[0] < 2 * 90 / 40


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
async def test_bulk_requests_of_a_client_let_others_pass(
    sandbox: Sandbox, tmp_path: Path, *, shared: bool
) -> None:
    """With a limit of its own too: what came later is done earlier."""
    limit = RateLimit(10, 1.0)
    order: list[str] = []
    async with AsyncClient(
        sandbox.auth_id,
        sandbox.auth_token,
        base_url=sandbox.base_url,
        rate_limit=SharedRateLimit(tmp_path / "quota.db", limit) if shared else limit,
    ) as client:
        await asyncio.gather(*[client.endpoints.list_page() for _ in range(10 if not shared else 1)])

        async def call(priority: Priority) -> None:
            await client.with_options(priority=priority).endpoints.list_page()
            order.append(priority)

        bulk = [asyncio.create_task(call("bulk")) for _ in range(8)]
        await asyncio.sleep(0)
        people = [asyncio.create_task(call("interactive")) for _ in range(4)]
        await asyncio.gather(*bulk, *people)
    assert order.index("interactive") <= 2
    assert order[-6:] == ["bulk"] * 6


async def test_those_who_give_up_waiting_take_no_place(sandbox: Sandbox) -> None:
    """Cancelled at the head of the queue, and behind it."""
    limit = RateLimit(5, 0.3)
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=limit) as client:
        calls = [asyncio.create_task(client.endpoints.list_page()) for _ in range(20)]
        await asyncio.sleep(0.05)
        for call in calls[5:15]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert 10 == sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert 10 == len(sandbox.requests)


@pytest.mark.parametrize("with_own_bulk", [True, False])
async def test_a_visitor_never_waits_long_behind_bulk(
    sandbox: Sandbox, tmp_path: Path, *, with_own_bulk: bool
) -> None:
    """Whether the bulk requests are another process's or its own client's."""
    limit, path = RateLimit(50, 1.0), tmp_path / "quota.db"
    account = (sandbox.auth_id, sandbox.auth_token)
    async with (
        AsyncClient(*account, base_url=sandbox.base_url, rate_limit=SharedRateLimit(path, limit)) as busy,
        AsyncClient(*account, base_url=sandbox.base_url, rate_limit=SharedRateLimit(path, limit)) as own,
    ):
        views = [busy, own] if with_own_bulk else [busy]
        bulk = [
            asyncio.create_task(view.with_options(priority="bulk").endpoints.list_page())
            for view in views
            for _ in range(100)
        ]
        waits: list[float] = []
        for _ in range(10):
            begun = asyncio.get_running_loop().time()
            await own.endpoints.list_page()
            waits.append(asyncio.get_running_loop().time() - begun)
        assert sorted(waits)[5] < 0.5
        assert any(not task.done() for task in bulk)
        for task in bulk:
            task.cancel()
        await asyncio.gather(*bulk, return_exceptions=True)


async def test_places_that_became_old_are_not_used(sandbox: Sandbox) -> None:
    """Calls that have waited for a connection wait for a new place, or they would come in a burst."""
    store = MemoryStore(RateLimit(100, 1.0))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    store_clock = patch.object(MemoryStore, "now", property(lambda _: loop.time() - begun), create=True)
    sandbox.inject(Fault(applied=True, latency=0.7), times=2)
    account = (sandbox.auth_id, sandbox.auth_token)
    with store_clock:
        async with AsyncClient(
            *account, base_url=sandbox.base_url, rate_limit=store, max_connections=2
        ) as client:
            await asyncio.gather(*[client.endpoints.list_page() for _ in range(40)])
    times = sorted(record.at.timestamp() for record in sandbox.requests)
    assert 40 == len(times)
    assert most_in_a_window(times, 0.2) <= 25


async def test_one_share_for_all_clients_of_a_process() -> None:
    """While the store is away, however many clients there are."""
    clock = Hand()
    windows: list[SharedWindow] = []
    for _ in range(5):
        store = MemoryStore()
        store.failure = "gone"
        windows.append(SharedWindow(store, ACCOUNT, clock))
    found = [await window.find(clock(), wanted=1, priority="interactive") for window in windows]
    assert 1 == sum(seconds == 0.0 for seconds in found)


async def test_a_store_may_fail_in_its_own_way(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another error, or by never answering to a pause: no call fails because of it."""
    monkeypatch.setattr(_shared_window, "_LONGEST_ANSWER", 0.05)
    store = MemoryStore()

    async def hang(_account: str, _seconds: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "pause", hang)
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
        sandbox.inject(Fault(applied=False, status=429, headers={"Retry-After": "60"}))
        with pytest.raises(RateLimitedError):
            await client.endpoints.list_page()
    for reserve in (hang_up, answer_nothing, never_answer):
        monkeypatch.setattr(_shared_window, "_OWN_PACES", {})
        monkeypatch.setattr(store, "reserve", reserve)
        async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
            await client.endpoints.list_page()
    assert any("(ConnectionResetError)" in message for message in caplog.messages)


async def hang_up(account: str, places: int, *, priority: Priority) -> Reservation:  # noqa: ARG001
    """Fail as a store's driver may."""
    raise ConnectionResetError


async def answer_nothing(account: str, places: int, *, priority: Priority) -> None:
    """Forget to return what was reserved."""


async def never_answer(account: str, places: int, *, priority: Priority) -> Reservation:  # noqa: ARG001
    """Wait for ever."""
    await asyncio.Event().wait()
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize("missing", ["limit", "processes"])
def test_a_store_without_what_it_needs(missing: str) -> None:
    """The client says so when it is made."""
    store = MemoryStore()
    delattr(store, missing)
    with pytest.raises(InvalidArgumentError, match="rate_limit: must have a RateLimit as `limit`"):
        AsyncClient("MA0123456789ABCDEFGH", "token", rate_limit=store)


async def test_provisioning_is_bulk(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its creates, and the pages that it lists."""
    store = MemoryStore(RateLimit(100_000, 1.0))
    rows = [Row(key=f"k{n}", username=f"alice{n}", alias=f"desk {n}", password="s3cret!") for n in range(3)]
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=store
    ) as client:
        async with AsyncFleet(client, tmp_path / "fleet.db").apply(rows) as run:
            await run.complete()
        assert {"created": 3} == {status: count for status, count in run.report.counts.items() if count}
        assert {"bulk"} == {priority for priority, _ in store.asked}
        await client.endpoints.list_page()
    assert ("interactive", 1) == store.asked[-1]

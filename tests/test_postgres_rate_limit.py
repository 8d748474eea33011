"""The rate limit in PostgreSQL: what is its own; `test_shared_rate_limit` tests what all stores do."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

from plivo_endpoints import (
    AsyncClient,
    Client,
    InvalidArgumentError,
    PostgresRateLimit,
    RateLimit,
    RateLimitStoreError,
    _shared_window,
)
from plivo_endpoints import _postgres_rate_limit as module
from plivo_endpoints._config import Secret
from plivo_endpoints._postgres import remove_password
from plivo_endpoints._shared_window import SharedWindow
from tests.postgres import PASSWORD, USER
from tests.provisioning.quota import most_in_a_window
from tests.secrets.frames import leaks_of, reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

ACCOUNT: Final = "https://api.plivo.com/v1/Account/MA0123456789ABCDEFGH/"
OTHER: Final = "https://api.plivo.com/v1/Account/MA9876543210ABCDEFGH/"
LIMIT: Final = RateLimit(100, 5.0)
GAP: Final = 0.05
MANY: Final = RateLimit(1_000_000, 5.0)  # no place is far ahead
WORD: Final = PASSWORD.split()[0]
SECRETS: Final = (PASSWORD, quote(PASSWORD), WORD)
FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture(autouse=True)
def _no_pace_of_an_earlier_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_window, "_OWN_PACES", {})


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Return the URL of an empty database."""
    return postgres.new_database()


def name_of(url: str) -> str:
    """Return the database of a URL."""
    return url.rpartition("/")[2]


def reserve(store: PostgresRateLimit, places: int = 1, account: str = ACCOUNT) -> tuple[float, ...]:
    """Reserve places from a new loop, and return the waits."""
    return asyncio.run(store.reserve(account, places, priority="interactive")).waits


def problem_of(url: object) -> str:
    """Return the one line with which a URL is refused."""
    with pytest.raises(InvalidArgumentError) as caught:
        PostgresRateLimit(url)  # type: ignore[arg-type]
    assert [] == leaks_of(caught.value, SECRETS)
    message = str(caught.value)
    assert "\n" not in message
    assert [] == [secret for secret in SECRETS if secret in message]
    return message


@pytest.mark.parametrize("given", [None, 58, "", "58", "/var/lib/app/quota.db", "mysql://host/database"])
def test_what_is_no_url(given: object) -> None:
    """The line says how one begins."""
    assert "url: must begin with postgresql://" == problem_of(given)


@pytest.mark.parametrize(
    "given",
    [
        f"postgresql://{USER}:%zz@127.0.0.1/x",
        f"postgresql://{USER}:12@{WORD}@127.0.0.1/x",
        f"postgresql://{USER}:12/{WORD}@127.0.0.1/x",
        f"postgresql://{USER}:{WORD}/34@127.0.0.1/x",
        f"postgresql://{USER}:{WORD}",
        f"postgresql://127.0.0.1/x?{WORD}=1",
        "postgresql://127.0.0.1/\udce9",
    ],
)
def test_a_url_that_is_malformed(given: str) -> None:
    """Whatever libpq takes for the host or the port, no part of a password is quoted."""
    assert problem_of(given).startswith(
        "url: is not the URL of a PostgreSQL database, such as postgresql://user"
    )


def test_psycopg_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    for name in ["psycopg", *(name for name in sys.modules if name.startswith("psycopg."))]:
        monkeypatch.setitem(sys.modules, name, None)
    assert "url: needs psycopg: pip install 'plivo-endpoints[postgres]'" == problem_of("postgresql://host/x")


def _of_nobody(postgres: PostgresServer) -> str:
    return postgres.url().replace(f":{postgres.port}/", ":9/")


def _of_another_password(postgres: PostgresServer) -> str:
    return postgres.url(password=f"{PASSWORD}!")


def _of_no_database(postgres: PostgresServer) -> str:
    return postgres.url("missing")


def _of_a_user_without_rights(postgres: PostgresServer) -> str:
    name = name_of(postgres.new_database())
    postgres.execute(f"CREATE ROLE visitor_{name} LOGIN PASSWORD 'enter'")
    return postgres.url(name, user=f"visitor_{name}", password="enter")


def _of_a_user_who_may_only_read(postgres: PostgresServer) -> str:
    url = _of_a_user_without_rights(postgres)
    name = name_of(url)
    PostgresRateLimit(postgres.url(name))
    postgres.execute(f"GRANT SELECT ON plivo_paces TO visitor_{name}", name)
    return url


def _of_another_table(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    postgres.execute("CREATE TABLE plivo_paces (x int)", name_of(url))
    return url


def _of_a_newer_table(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    PostgresRateLimit(url)
    postgres.execute("COMMENT ON TABLE plivo_paces IS 'plivo-endpoints: rate limit, version 2'", name_of(url))
    return url


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_of_nobody, "Connection refused"),
        (_of_another_password, 'password authentication failed for user "owner"'),
        (_of_no_database, 'database "missing" does not exist'),
        (_of_a_user_without_rights, "permission denied for schema public"),
        (_of_a_user_who_may_only_read, "permission denied for table plivo_paces"),
        (_of_another_table, "its table plivo_paces is not a rate limit of this program"),
        (_of_a_newer_table, "its table plivo_paces is a rate limit of another version of this program"),
    ],
)
def test_a_database_that_cannot_be_used(
    postgres: PostgresServer, make: Callable[[PostgresServer], str], problem: str
) -> None:
    """It is refused at once, in one line with its name."""
    url = make(postgres)
    message = problem_of(url)
    assert message.startswith(f"url: cannot use postgresql://127.0.0.1:{url.rpartition(':')[2]}: ")
    assert problem in message


def test_other_arguments(url: str) -> None:
    """They are those of `SharedRateLimit`."""
    with pytest.raises(InvalidArgumentError, match="limit: must be a RateLimit"):
        PostgresRateLimit(url, 58)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="processes: must be a whole number"):
        PostgresRateLimit(url, processes=0)


def test_no_password_shows(
    postgres: PostgresServer, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no repr, attribute, log or error, whether the store is used or refused."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("psycopg"), "level", logging.DEBUG)
    store = PostgresRateLimit(url, LIMIT, processes=3)
    reserve(store)
    place = f"postgresql://127.0.0.1:{postgres.port}/{name_of(url)}"
    assert f"PostgresRateLimit('{place}', {LIMIT!r}, processes=3)" == repr(store)
    assert [] == reachable([store, vars(store)], SECRETS)
    with pytest.raises(TypeError, match="PostgresRateLimit cannot be pickled"):
        pickle.dumps(store)
    postgres.execute(f"ALTER DATABASE {name_of(url)} WITH ALLOW_CONNECTIONS false")
    (process,) = connections(postgres, url)
    postgres.execute(f"SELECT pg_terminate_backend({process})")
    with pytest.raises(RateLimitStoreError, match="not currently accepting connections") as caught:
        reserve(store)
    assert [] == leaks_of(caught.value, SECRETS)
    shown = caplog.text + postgres.log.read_text()
    assert "UPDATE plivo_paces" in shown
    assert [] == [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_the_environment_names_the_database(
    postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    """A line about the variable, and no password in a traceback, if it cannot be used."""
    monkeypatch.setenv("PLIVO_RATE_LIMIT", url)
    kind("MA0123456789ABCDEFGH", "token")
    assert [("plivo_paces",)] == postgres.execute(
        "SELECT relname::text FROM pg_class WHERE relname = 'plivo_paces'", name_of(url)
    )
    monkeypatch.setenv("PLIVO_RATE_LIMIT", _of_another_password(postgres))
    with pytest.raises(InvalidArgumentError, match="PLIVO_RATE_LIMIT: cannot use postgresql://") as caught:
        kind("MA0123456789ABCDEFGH", "token")
    assert [] == leaks_of(caught.value, SECRETS)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:s3cret@host:5432/x", "postgresql://app@host:5432/x"),
        ("postgresql://app:s3?cr#et@host/x?sslmode=require", "postgresql://app@host/x?sslmode=require"),
        (
            "postgresql://host/x?user=a&password=s3cret&sslmode=require",
            "postgresql://host/x?user=a&sslmode=require",
        ),
        ("postgres://:s3cret@/x", "postgres://@/x"),
        ("postgresql://host:5432,[::1]:5433/x", "postgresql://host:5432,[::1]:5433/x"),
    ],
)
def test_a_url_without_its_password(url: str, shown: str) -> None:
    """The rest stays as it is."""
    assert shown == remove_password(url)


def test_the_clock_of_the_database_is_set_back(postgres: PostgresServer, url: str) -> None:
    """What was written in its future means nothing."""
    store = PostgresRateLimit(url, LIMIT)
    asyncio.run(store.pause(ACCOUNT, 100.0))
    assert () == reserve(store)
    postgres.execute(
        "UPDATE plivo_paces SET paused_until = paused_until + 3600, written = written + 3600", name_of(url)
    )
    assert (0.0,) == reserve(store)


def connections(postgres: PostgresServer, url: str) -> list[int]:
    """Return the server's processes that serve a database to this program."""
    found = postgres.execute(
        "SELECT pid, datname FROM pg_stat_activity WHERE application_name = 'plivo-endpoints'"
    )
    return [process for process, database in found if database == name_of(url)]


def _use_in_three_loops(store: PostgresRateLimit) -> None:
    async def use() -> None:
        await asyncio.gather(*[store.reserve(ACCOUNT, 1, priority="interactive") for _ in range(5)])

    for _ in range(3):
        asyncio.run(use())


def test_threads_and_loops_share_a_connection(postgres: PostgresServer, url: str) -> None:
    """At the same time and one after the other; it is closed with the last reference."""
    store = PostgresRateLimit(url, MANY)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(_use_in_three_loops, [store] * 4))
    assert 1 == len(connections(postgres, url))
    del store
    gc.collect()
    deadline = time.monotonic() + 10
    while connections(postgres, url):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_forks_have_their_own(url: str) -> None:
    """Also when the parent has used it, is using it at that moment, and goes on."""
    store = PostgresRateLimit(url, MANY)
    stop = threading.Event()

    async def use() -> None:
        while not stop.is_set():
            await store.reserve(ACCOUNT, 1, priority="interactive")

    user = threading.Thread(target=asyncio.run, args=(use(),))
    user.start()
    children: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread, which is meant
        for number in range(10):
            if (child := os.fork()) == 0:
                try:
                    os._exit(len(reserve(store, 1, f"{OTHER}{number}")) - 1)
                finally:
                    os._exit(9)
            children.append(child)
    stop.set()
    user.join()
    assert [0] * 10 == [os.waitpid(child, 0)[1] for child in children]
    assert 1 == len(reserve(store))


FORKS: Final = """
import asyncio, gc, os, sys
from plivo_endpoints import PostgresRateLimit

store = PostgresRateLimit(sys.argv[1])
asyncio.run(store.reserve("account", 1, priority="interactive"))
child = os.fork()
asyncio.run(store.reserve("account", 1, priority="interactive"))
if child:
    _, status = os.waitpid(child, 0)
    asyncio.run(store.reserve("account", 1, priority="interactive"))
    sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_programs_end_quietly(url: str) -> None:
    """Parent and child: no warning of a connection that was not closed."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::DeprecationWarning",
        "-X",
        "dev",
        "-c",
        FORKS,
        url,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (0, "") == (ended.returncode, ended.stderr)


GEVENT: Final = """
import gevent.monkey

gevent.monkey.patch_all()

import sys
import gevent
from plivo_endpoints import Client, PostgresRateLimit, RateLimit

limit = PostgresRateLimit(sys.argv[1], RateLimit(100, 1.0))

def use(client):
    for _ in range(5):
        client.endpoints.list_page()

with Client(rate_limit=limit) as client:
    gevent.joinall([gevent.spawn(use, client) for _ in range(4)], raise_error=True)
"""


@pytest.mark.slow
def test_under_gevent(
    url: str, threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None], postgres: PostgresServer
) -> None:
    """The thread that owns the connection is a native one, and greenlets wake it."""
    pytest.importorskip("gevent", reason="GEVENT IS NOT INSTALLED: what it proves is not proved here")
    point_to(threaded_sandbox)
    command = [sys.executable, "-W", "error", "-c", GEVENT, url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (0, "") == (ended.returncode, ended.stderr)
    assert 20 == len(threaded_sandbox.requests)
    assert [(1,)] == postgres.execute("SELECT count(*) FROM plivo_paces WHERE next_place > 0", name_of(url))


@contextmanager
def stopped(process: int) -> Generator[None]:
    """Stop a process for the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


HANGS: Final = """
import asyncio, sys, time
from plivo_endpoints import PostgresRateLimit, RateLimitStoreError

store = PostgresRateLimit(sys.argv[1])

async def main():
    await store.reserve("account", 1, priority="interactive")
    print("used", flush=True)
    sys.stdin.readline()
    for _ in range(3):
        begun = time.monotonic()
        try:
            await store.reserve("account", 1, priority="interactive")
        except RateLimitStoreError as error:
            print(f"{time.monotonic() - begun:.1f} s: {error}".replace(store.database, "database"))

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_database_that_hangs(postgres: PostgresServer, url: str) -> None:
    """Only the first call waits, and the program can end."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", HANGS, url]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        assert "used\n" == program.stdout.readline()
        (server_process,) = connections(postgres, url)
        with stopped(server_process):
            shown, _ = program.communicate("go on\n", timeout=10)
    assert 0 == program.returncode
    assert [
        "0.9 s: database: no answer within 0.9 s",
        "0.0 s: database: no answer to an earlier request",
        "0.0 s: database: no answer to an earlier request",
    ] == shown.splitlines()


def test_an_answer_that_is_late(postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store can be used again as soon as it has come; no place was reserved for those who gave up."""
    store = PostgresRateLimit(url, LIMIT)
    monkeypatch.setattr(module, "_LONGEST_ANSWER", 0.5)
    begun, go_on = threading.Event(), threading.Event()
    change = module._Session.change

    def change_late(session: module._Session, account: str, how: Any) -> Any:
        begun.set()
        go_on.wait()
        return change(session, account, how)

    async def ask_twice() -> tuple[object, object]:
        first = asyncio.create_task(store.reserve(ACCOUNT, 1, priority="bulk"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        second = store.reserve(OTHER, 1, priority="bulk")
        return await asyncio.gather(first, second, return_exceptions=True)

    with monkeypatch.context() as patch:
        patch.setattr(module._Session, "change", change_late)
        errors = asyncio.run(ask_twice())
        with pytest.raises(RateLimitStoreError, match="no answer to an earlier request"):
            reserve(store)
        go_on.set()
    assert [f"{store.database}: no answer within 0.5 s"] * 2 == [str(error) for error in errors]
    monkeypatch.setattr(module, "_LONGEST_ANSWER", 5.0)
    third = "https://api.plivo.com/v1/Account/MA0000000000ABCDEFGH/"
    assert (0.0,) == reserve(store, 1, third)
    rows = postgres.execute("SELECT account FROM plivo_paces", name_of(url))
    assert {(ACCOUNT,), (third,)} == set(rows)


def test_a_request_that_begins_late(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call does not wait for a database that hangs, even if the thread was late to ask it."""
    store = PostgresRateLimit(url, LIMIT)
    monkeypatch.setattr(module, "_LONGEST_ANSWER", 0.6)
    awake, go_on = threading.Event(), threading.Event()
    run = module._Worker.run

    def run_late(worker: module._Worker) -> None:
        awake.wait()
        run(worker)

    async def ask_twice() -> tuple[object, object]:
        asyncio.get_running_loop().call_later(0.2, awake.set)
        first = await asyncio.gather(store.reserve(ACCOUNT, 1, priority="bulk"), return_exceptions=True)
        second = await asyncio.gather(store.reserve(ACCOUNT, 1, priority="bulk"), return_exceptions=True)
        return *first, *second

    def hang(*_: object) -> None:
        go_on.wait()

    monkeypatch.setattr(module._Worker, "run", run_late)
    monkeypatch.setattr(module._Session, "change", hang)
    errors = asyncio.run(ask_twice())
    go_on.set()
    problems = ["no answer within 0.6 s", "no answer to an earlier request"]
    assert [f"{store.database}: {problem}" for problem in problems] == [str(error) for error in errors]


@pytest.mark.slow
def test_a_database_that_restarts_while_nothing_is_sent(postgres: PostgresServer, url: str) -> None:
    """The lost connection is replaced, and nobody notices."""
    store = PostgresRateLimit(url, LIMIT)
    asyncio.run(store.pause(ACCOUNT, 100.0))
    postgres.stop("fast")
    postgres.start()
    assert () == reserve(store)
    assert 1 == len(reserve(store, 1, OTHER))


@pytest.mark.slow
async def test_a_database_that_restarts(
    postgres: PostgresServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A share of the limit until it is back; the client says both."""
    now = [0.0]
    window = SharedWindow(PostgresRateLimit(url, LIMIT, processes=4), ACCOUNT, lambda: now[0])
    assert 0.0 == await window.find(now[0], wanted=1, priority="interactive")
    postgres.stop()
    try:
        now[0] += 1.0
        assert 0.0 == await window.find(now[0], wanted=1, priority="interactive")
        now[0] += GAP
        assert 3 * GAP == pytest.approx(await window.find(now[0], wanted=1, priority="interactive"))
        (message,) = caplog.messages
        assert message.startswith("the shared rate limit cannot be used (postgresql://127.0.0.1:")
        assert message.endswith("until it can, at most 25 requests in 5 s")
        assert "\n" not in message
    finally:
        postgres.start()
    now[0] += 1.0
    assert 0.0 == await window.find(now[0], wanted=1, priority="interactive")
    assert "the shared rate limit can be used again" == caplog.messages[-1]


def test_settings_end_with_the_transaction(url: str) -> None:
    """Behind PgBouncer, another program's transaction may be the next on the same connection."""
    session = module._Session(Secret(url))
    session.change(ACCOUNT, lambda pace, _: (pace, None))
    try:
        names = ("synchronous_commit", "lock_timeout", "idle_in_transaction_session_timeout")
        assert [("on",), ("0",), ("0",)] == [session._execute(f"SHOW {name}") for name in names]
    finally:
        session.close()


def _run_together(command: list[str], clocks: list[str | None]) -> list[str]:
    """Start a process for each clock, let them go on once all have begun, and return what they print."""
    fakes = [
        {} if clock is None else {"LD_PRELOAD": str(FAKETIME), "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1"}
        for clock in clocks
    ]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [subprocess.Popen(command, env={**os.environ, **fake}, text=True, **pipes) for fake in fakes]  # noqa: S603
    for process in started:
        assert process.stdout is not None
        assert "begun\n" == process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in started]
    assert [""] * len(clocks) == [errors for _, errors in ended]
    return [shown for shown, _ in ended]


CREATES: Final = """
import sys
from plivo_endpoints import PostgresRateLimit

print("begun", flush=True)
sys.stdin.readline()
for url in sys.argv[1:]:
    PostgresRateLimit(url)
"""


@pytest.mark.slow
def test_processes_that_start_together(postgres: PostgresServer) -> None:
    """None fails because another is just creating the table."""
    urls = [postgres.new_database() for _ in range(4)]
    _run_together([sys.executable, "-W", "error", "-c", CREATES, *urls], [None] * 4)


def test_a_table_that_is_dropped_is_made_again(postgres: PostgresServer, url: str) -> None:
    """One call fails, and says why."""
    store = PostgresRateLimit(url, LIMIT)
    reserve(store)
    postgres.execute("DROP TABLE plivo_paces", name_of(url))
    with pytest.raises(RateLimitStoreError, match='"plivo_paces" does not exist'):
        reserve(store)
    assert (0.0,) == reserve(store)


def test_a_row_that_stays_locked(url: str) -> None:
    """One line, before the client gives up waiting."""
    import psycopg  # noqa: PLC0415 - an extra

    store = PostgresRateLimit(url, LIMIT)
    reserve(store)
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM plivo_paces FOR UPDATE")
        with pytest.raises(RateLimitStoreError, match="canceling statement due to lock timeout"):
            reserve(store)
    assert 1 == len(reserve(store))


FALLS_ASLEEP: Final = """
import asyncio, sys, time
from plivo_endpoints import Pace, PostgresRateLimit, RateLimitStoreError

def sleep(*_, **__):
    print("locked", flush=True)
    time.sleep(60)

store = PostgresRateLimit(sys.argv[1])
Pace.reserve = sleep
asyncio.run(store.reserve(sys.argv[2], 1, priority="interactive"))
"""


def test_a_process_that_is_stopped_in_the_middle(url: str) -> None:
    """It keeps the row locked, but not for long enough to make another fail."""
    store = PostgresRateLimit(url, LIMIT)
    reserve(store)
    command = [sys.executable, "-c", FALLS_ASLEEP, url, ACCOUNT]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        assert "locked\n" == program.stdout.readline()
        assert 1 == len(reserve(store))
        program.kill()


SATURATES: Final = """
import asyncio, sys
from plivo_endpoints import Pace, PostgresRateLimit, RateLimit

reserve, places = Pace.reserve, []

def record(pace, now, *args, **options):
    after, reservation = reserve(pace, now, *args, **options)
    places.extend(now + wait for wait in reservation.waits)
    return after, reservation

async def main():
    store = PostgresRateLimit(sys.argv[1], RateLimit(100, 0.25))
    print("begun", flush=True)
    sys.stdin.readline()
    while len(places) < 100:
        found = await store.reserve("account", 5, priority="interactive")
        await asyncio.sleep(max(found.waits, default=0.0) or found.retry_after)

Pace.reserve = record
asyncio.run(main())
print(*places)
"""


def _saturate(url: str, clocks: list[str | None]) -> list[float]:
    """Reserve places from a process for each clock, and return their times on the database's clock."""
    shown = _run_together([sys.executable, "-W", "error", "-c", SATURATES, url], clocks)
    return sorted(float(place) for each in shown for place in each.split())


def _assert_evenly_spaced(places: list[float]) -> None:
    assert len(places) >= 300
    assert most_in_a_window(places, 0.25) <= 100 + 1  # at both ends of a window, rounded
    assert min(later - earlier for earlier, later in pairwise(places)) > 0.0025 - 1e-5
    assert places[-1] - places[0] < 60


@pytest.mark.slow
def test_three_processes_at_once(postgres: PostgresServer, url: str) -> None:
    """No place is given twice or too early, whatever the database's defaults are."""
    postgres.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_isolation = 'serializable'")
    _assert_evenly_spaced(_saturate(url, [None, None, None]))


@pytest.mark.slow
def test_hosts_whose_clocks_are_wrong(url: str) -> None:
    """Only the database's clock counts: an hour ahead, an hour behind, and right."""
    if not FAKETIME.exists():
        pytest.skip("FAKETIME IS NOT INSTALLED: that clocks do not matter is not proved here")
    _assert_evenly_spaced(_saturate(url, ["+1h", "-1h", None]))

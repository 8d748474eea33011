"""One client in several loops, in many threads, and in the middle of a running loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from plivo_endpoints import AsyncClient, Client
from tests.faults.account import AUTH_ID, SEED, Step
from tests.faults.kinds import slow
from tests.lifetime.conftest import said
from tests.unmeasured import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.faults.server import FaultServer


def test_one_client_in_one_loop_after_another(faults: FaultServer) -> None:
    """Made outside of any, it works in each, and can be closed in the last."""
    account, url = faults.account()
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url)

    async def read_twice() -> None:
        for _ in range(2):
            await client.endpoints.get(SEED)

    for _ in range(3):
        asyncio.run(read_twice())
    asyncio.run(client.close())
    assert len(account.arrivals) == 6


def test_one_async_client_in_eight_loops_at_once(faults: FaultServer) -> None:
    """Each thread's loop has its own connections; a create is sent once wherever it runs."""
    account, url = faults.account()
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url)
    together = threading.Barrier(8)

    async def create() -> list[str]:
        together.wait()
        return [
            (await client.endpoints.create(username="alice", password="s3cret", alias="desk")).endpoint_id
            for _ in range(10)
        ]

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(asyncio.run, create()) for _ in range(8)]
        made = [endpoint_id for future in running for endpoint_id in future.result()]
    asyncio.run(client.close())
    assert sorted(made) == sorted(known.endpoint_id for known in account.created)
    assert len(set(made)) == 80


def test_fifty_threads_on_one_client(faults: FaultServer) -> None:
    """Every thread gets its own answers, and every create is made once."""
    account, url = faults.account()

    def create(client: Client, thread: int) -> list[str]:
        alias = f"desk-{thread}"
        made = [client.endpoints.create(username="alice", password="s3cret", alias=alias) for _ in range(10)]
        assert {alias} == {endpoint.alias for endpoint in made}
        return [endpoint.endpoint_id for endpoint in made]

    with (
        Client(AUTH_ID, "fault-token", base_url=url, rate_limit=None) as client,
        ThreadPoolExecutor(50) as pool,
    ):
        running = [pool.submit(create, client, thread) for thread in range(50)]
        made = [endpoint_id for future in running for endpoint_id in future.result()]
    assert sorted(made) == sorted(known.endpoint_id for known in account.created)
    assert (len(set(made)), len(account.arrivals)) == (500, 500)


async def test_the_blocking_client_inside_a_running_loop(faults: FaultServer) -> None:
    """It works, though it blocks that loop."""
    _, url = faults.account()
    with Client(AUTH_ID, "fault-token", base_url=url) as client:
        assert client.endpoints.get(SEED).endpoint_id == SEED
        assert [endpoint.endpoint_id for endpoint in client.endpoints.list()] == [SEED]


async def _use(client: AsyncClient) -> None:
    await client.endpoints.get(SEED)


def test_forty_loops_that_nobody_shut_down(
    faults: FaultServer, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Their sessions are closed when the client notices, or is closed itself: aiohttp has no complaint."""
    _, url = faults.account()
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url)
    for _ in range(40):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_use(client))
        loop.close()
    asyncio.run(client.close())
    del client
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []
    complaints = [str(warning.message) for warning in recwarn.list]
    assert [text for text in complaints if "Unclosed" in text or "unclosed <AsyncClient" in text] == []


def test_used_in_one_loop_and_closed_in_another(
    faults: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What the first one holds is closed too, without it running, and leaves no task behind."""
    _, url = faults.account()
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_use(client))
    asyncio.run(client.close())
    pending = asyncio.all_tasks(loop)
    loop.run_until_complete(asyncio.sleep(0))  # it hears of its closed connections
    loop.close()
    gc.collect()
    assert (pending, [record.getMessage() for record in caplog.records]) == (set(), [])
    assert _ends(faults)


def _ends(faults: FaultServer) -> bool:
    deadline = time.monotonic() + 10
    while faults.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    return faults.open_connections == 0


def test_loops_that_come_and_go_in_many_threads(faults: FaultServer) -> None:
    """One client serves them all; none trips over the end of another."""
    account, url = faults.account()
    client = AsyncClient(AUTH_ID, "fault-token", base_url=url, rate_limit=None)

    def come_and_go() -> None:
        for _ in range(30):
            asyncio.run(_use(client))

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(come_and_go) for _ in range(16)]:
            future.result()
    asyncio.run(client.close())
    assert len(account.arrivals) == 16 * 30


GEVENT: Final = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from plivo_endpoints import Client
auth_id, url, seed = sys.argv[1:]
turns = 0
def work():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.0001)
others = gevent.spawn(work)
clients = [Client(auth_id, "t", base_url=url) for _ in range(3)]
calls = [gevent.spawn(client.endpoints.get, seed) for client in clients * 10]
gevent.joinall(calls, raise_error=True)
assert turns > 5, turns
others.kill()
for client in clients:
    client.close()
print({call.value.endpoint_id for call in calls} == {seed})
"""


@pytest.mark.slow
def test_several_clients_under_gevent(faults: FaultServer, start: Callable[..., Popen[str]]) -> None:
    """After `monkey.patch_all()` they work, and other greenlets run while one waits."""
    pytest.importorskip("gevent")
    account, url = faults.account()
    account.forever = Step(slow(0.2), applied=True)  # time in which the others can run
    program = start(GEVENT, AUTH_ID, url, SEED, options=(), env=unmeasured())
    assert said(program) == (0, "True\n", "")


NO_FILES: Final = """
import os, resource, sys
from plivo_endpoints import Client, PlivoError
auth_id, url, seed = sys.argv[1:]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for spare in range(6):
    client, held = Client(auth_id, "t", base_url=url, timeout=5), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    for _ in range(spare):
        os.close(held.pop())
    try:
        client.endpoints.get(seed)
        ended = "done"
    except PlivoError as error:
        ended = type(error).__name__
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    client.endpoints.get(seed)  # and the same client works as soon as there are some
    client.close()
    print(ended)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_no_descriptors_left(faults: FaultServer, start: Callable[..., Popen[str]]) -> None:
    """However few there are, a first call works or ends with an error of ours: no hang, no abort."""
    _, url = faults.account()
    program = start(NO_FILES, AUTH_ID, url, SEED, options=())
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out.split()[0], out.split()[-1]) == (0, "ClientStateError", "done"), err
    assert {*out.split()} <= {"ClientStateError", "ConnectError", "done"}

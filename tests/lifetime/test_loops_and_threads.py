"""One client in several loops, in many threads, and in the middle of a running loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from plivo_endpoints import AsyncClient, Client
from tests.faults.account import AUTH_ID, SEED

if TYPE_CHECKING:
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

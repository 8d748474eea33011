"""Starting and stopping, in a loop and in a thread; many callers at once."""

import asyncio
import base64
import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from plivo_endpoints.sandbox import RequestRecord, Sandbox


def get_page(sandbox: Sandbox, query: str = "") -> list[object]:
    """Read a list page with the standard library and return its objects."""
    url = f"{sandbox.base_url}/v1/Account/{sandbox.auth_id}/Endpoint/{query}"
    credentials = base64.b64encode(f"{sandbox.auth_id}:{sandbox.auth_token}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310
        objects: list[object] = json.load(response)["objects"]
        return objects


def test_a_blocking_program_gets_a_thread() -> None:
    """`with` serves from a thread which is gone, with its port, afterwards."""
    before = threading.active_count()
    with Sandbox(endpoints=3) as sandbox:
        assert threading.active_count() == before + 1
        assert 3 == len(get_page(sandbox))
        host, port = sandbox.base_url.removeprefix("http://").split(":")
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_state_may_be_touched_while_it_serves() -> None:
    """Eight threads that make and register endpoints do not disturb ten that read."""
    with Sandbox(endpoints=50) as sandbox:

        def change() -> None:
            for endpoint_id in list(sandbox.endpoints):
                sandbox.register(endpoint_id)
                sandbox.unregister(endpoint_id)
                sandbox.seed(1)

        threads = [threading.Thread(target=change) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            get_page(sandbox)
            list(sandbox.endpoints.items())
        for thread in threads:
            thread.join()
        names = {endpoint.username for endpoint in sandbox.endpoints.values()}
        assert len(names) == len(sandbox.endpoints) >= 450


def test_a_sandbox_can_be_started_again() -> None:
    """Its state is kept from one block to the next."""
    sandbox = Sandbox(endpoints=1)
    for _ in range(2):
        with sandbox:
            assert 1 == len(sandbox.endpoints)


async def test_a_sandbox_runs_once_at_a_time() -> None:
    """To enter it twice is an error, as is asking for its address before or after."""
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.base_url
    async with sandbox:
        with pytest.raises(RuntimeError, match="already"):
            await sandbox.__aenter__()
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.base_url


def test_a_port_that_is_taken() -> None:
    """The error is raised where the block begins, and no thread stays behind."""
    before = threading.active_count()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="address already in use"),
        Sandbox(port=taken.getsockname()[1]),
    ):
        pass
    assert threading.active_count() == before


async def test_a_given_address() -> None:
    """Host, port and credentials can be chosen."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    sandbox = Sandbox(auth_id="MA000000000000000000", auth_token="t" * 40, host="localhost", port=port)
    async with sandbox:
        assert sandbox.base_url.endswith(f":{port}")
    assert (sandbox.auth_id, sandbox.auth_token) == ("MA000000000000000000", "t" * 40)


async def test_every_address() -> None:
    """Bound to all addresses, it names the one that this machine can use."""
    async with Sandbox(host="0.0.0.0") as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:  # noqa: S104
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        async with session.get("/v1/") as response:
            assert 401 == response.status


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_an_ipv6_address() -> None:
    """The address stands in brackets."""
    async with Sandbox(host="::1") as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:
        assert sandbox.base_url.startswith("http://[::1]:")
        async with session.get("/v1/") as response:
            assert 401 == response.status


async def test_parallel_creates_are_all_there(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Of 200 creates of one name over 50 connections none is lost and no username comes twice."""
    fields = {"username": "alice", "password": "s3cret", "alias": "a"}
    url = f"{sandbox.base_url}/v1/Account/{sandbox.auth_id}/Endpoint/"
    connector = aiohttp.TCPConnector(limit=50)
    async with aiohttp.ClientSession(headers=api.headers, connector=connector) as session:

        async def create() -> str:
            async with session.post(url, json=fields) as response:
                username: str = (await response.json())["username"]
                return username

        usernames = await asyncio.gather(*(create() for _ in range(200)))
    assert {17} == {len(username) for username in usernames}
    assert sorted(usernames) == sorted(endpoint.username for endpoint in sandbox.endpoints.values())
    assert 200 == len(set(usernames))


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand() -> None:
    """A page takes under 5 ms of CPU, wherever it lies, on both sides of the wire together."""
    with Sandbox(endpoints=100_000) as sandbox:
        get_page(sandbox)
        sandbox.pagination = "hybrid"
        begun = time.process_time()
        for offset in range(0, 100_000, 2000):
            get_page(sandbox, f"?offset={offset}")
        assert (time.process_time() - begun) / 50 < 0.005


async def test_requests_are_reported(api: aiohttp.ClientSession) -> None:
    """Each is reported as it is answered, to whoever prints a log."""
    reported: list[RequestRecord] = []
    async with Sandbox(on_request=reported.append) as sandbox:
        url = f"{sandbox.base_url}/v1/Account/{sandbox.auth_id}/Endpoint/"
        async with api.get(url):
            pass
        async with api.get(f"{sandbox.base_url}/"):
            pass
    assert [("GET", 401)] == [(record.method, record.status) for record in reported]
    assert tuple(reported) == sandbox.requests


def test_a_view_of_many_is_short() -> None:
    """The endpoints' repr counts them, and shows no password where it shows one."""
    sandbox = Sandbox(endpoints=2)
    endpoint = next(iter(sandbox.endpoints.values()))
    assert "<2 endpoints>" == repr(sandbox.endpoints)
    assert endpoint.password not in repr(endpoint)
    with pytest.raises(KeyError):
        sandbox.endpoints["1"]


# Were the child to wait for the parent's thread, its alarm would end it.
FORK = """
import os, pathlib, signal, sys
from plivo_endpoints.sandbox import Sandbox

file = pathlib.Path(sys.argv[1])
with Sandbox(state_file=file) as sandbox:
    kept = file.read_text()
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        print(status, file.read_text() == kept, flush=True)
    else:
        signal.alarm(30)
        sandbox.seed(1)
if not child:
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork(tmp_path: Path) -> None:
    """A child that leaves the block neither hangs nor writes the account's file; the parent goes on."""
    # Forking with threads is what Python itself warns of.
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path / "state.json")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0 True\n", "")


# It stops while a page is watched and an answer is late.
PROGRAM = """
import asyncio, socket
from plivo_endpoints.sandbox import Fault, Sandbox

def hang_on(sandbox):
    sandbox.inject(Fault(applied=True, latency=60))
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(3)]
    sockets[0].sendall(b"GET /v1/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    sockets[1].sendall(b"GET /_page/events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    return sockets

async def main():
    async with Sandbox(endpoints=1) as sandbox:
        sockets = hang_on(sandbox)
        await asyncio.to_thread(sockets[1].recv, 9999)
    for each in sockets:
        each.close()

asyncio.run(main())
with Sandbox() as sandbox:
    sockets = hang_on(sandbox)
    sockets[1].recv(9999)
for each in sockets:
    each.close()
"""


@pytest.mark.parametrize("turns", range(8))
def test_connections_under_way_when_it_stops(turns: int, recwarn: pytest.WarningsRecorder) -> None:
    """At whatever turn of the loop it ends, none is left neither open nor closed: the clients hear of it."""

    async def stop_after() -> list[socket.socket]:
        async with Sandbox() as sandbox:
            host, port = sandbox.base_url.removeprefix("http://").split(":")
            clients = [socket.create_connection((host, int(port))) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
        return clients

    with asyncio.Runner() as runner:
        clients = runner.run(stop_after())
    for client in clients:
        client.settimeout(30)
        with client, contextlib.suppress(ConnectionResetError):
            assert b"" == client.recv(1)
    gc.collect()
    assert [] == [str(warning.message) for warning in recwarn]


async def test_a_stop_that_is_cancelled() -> None:
    """It listens no longer all the same."""
    sandbox = Sandbox()
    await sandbox.__aenter__()
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    stopping = asyncio.create_task(sandbox.__aexit__(None, None, None))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


def test_nothing_is_left_open() -> None:
    """Under `-X dev -W error` a program that starts both forms ends in silence."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    # On a busy machine asyncio's debug mode remarks on slow steps, which is no complaint.
    complaints = [line for line in ended.stderr.splitlines() if not line.startswith("Executing <")]
    assert (ended.returncode, ended.stdout, complaints) == (0, "", [])

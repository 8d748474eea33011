"""Programs that end without closing their client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.account import AUTH_ID, SEED
from tests.lifetime.conftest import said

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.faults.server import FaultServer

pytestmark = pytest.mark.slow

START = """
import asyncio, sys
from plivo_endpoints import AsyncClient, Client
auth_id, url, seed = sys.argv[1:]
"""

BLOCKING = {
    "global": "client = Client(auth_id, 't', base_url=url)\nclient.endpoints.get(seed)",
    "local": "def main():\n    Client(auth_id, 't', base_url=url).endpoints.get(seed)\nmain()",
    "unused": "client = Client(auth_id, 't', base_url=url)",
    "in a thread": """
import threading
client = Client(auth_id, 't', base_url=url)
thread = threading.Thread(target=client.endpoints.get, args=(seed,))
thread.start()
thread.join()
""",
    "inside a loop": """
client = Client(auth_id, 't', base_url=url)
async def main():
    client.endpoints.get(seed)
asyncio.run(main())
""",
    "half a walk": """
client = Client(auth_id, 't', base_url=url)
walk = iter(client.endpoints.list())
next(walk)
""",
}

ASYNC = {
    "global": """
client = AsyncClient(auth_id, 't', base_url=url)
async def main():
    await client.endpoints.get(seed)
asyncio.run(main())
""",
    "local": """
async def main():
    client = AsyncClient(auth_id, 't', base_url=url)
    await client.endpoints.get(seed)
asyncio.run(main())
""",
    "two loops": """
client = AsyncClient(auth_id, 't', base_url=url)
async def main():
    await client.endpoints.get(seed)
asyncio.run(main())
asyncio.run(main())
""",
    "a walk half done": """
client = AsyncClient(auth_id, 't', base_url=url)
async def main():
    async for endpoint in client.endpoints.list():
        break
asyncio.run(main())
""",
}


def _addresses(url: str) -> list[str]:
    # By name it is looked up in the executor of the loop, which has an end of its own.
    return [url, url.replace("127.0.0.1", "localhost")]


@pytest.mark.parametrize("name", BLOCKING)
def test_a_blocking_client_left_open(
    name: str, faults: FaultServer, start: Callable[..., Popen[str]]
) -> None:
    """The program ends at once and in silence."""
    _, url = faults.account()
    programs = [start(START + BLOCKING[name], AUTH_ID, address, SEED) for address in _addresses(url)]
    for program in programs:
        assert said(program) == (0, "", "")


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_client_left_open(name: str, faults: FaultServer, start: Callable[..., Popen[str]]) -> None:
    """One warning, which names the client; none from what it is made of."""
    _, url = faults.account()
    programs = [start(START + ASYNC[name], AUTH_ID, address, SEED) for address in _addresses(url)]
    for program in programs:
        status, out, err = said(program)
        assert (status, out, err.count("ResourceWarning: ")) == (0, "", 1)
        assert "ResourceWarning: unclosed <AsyncClient http" in err
        assert "aiohttp" not in err


def test_an_async_client_that_was_closed(faults: FaultServer, start: Callable[..., Popen[str]]) -> None:
    """Nothing to say."""
    _, url = faults.account()
    program = start(
        START
        + """
async def main():
    async with AsyncClient(auth_id, 't', base_url=url) as client:
        await client.endpoints.get(seed)
asyncio.run(main())
unused = AsyncClient(auth_id, 't', base_url=url)
""",
        AUTH_ID,
        url,
        SEED,
    )
    assert said(program) == (0, "", "")


AFTER_THE_END = {
    "a thread's first call": """
def main():
    threading.main_thread().join()
    call()
threading.Thread(target=main).start()
""",
    "an atexit handler": """
atexit.register(call)
""",
}


@pytest.mark.parametrize("name", AFTER_THE_END)
def test_a_first_call_after_the_main_thread_has_ended(
    name: str, faults: FaultServer, start: Callable[..., Popen[str]]
) -> None:
    """Python starts no threads any more, and the error says so."""
    _, url = faults.account()
    source = f"""{START}
import atexit, threading
client = Client(auth_id, 't', base_url=url)
def call():
    try:
        client.endpoints.get(seed)
    except Exception as error:
        print(type(error).__name__, error)
{AFTER_THE_END[name]}"""
    status, out, err = said(start(source, AUTH_ID, url, SEED))
    assert (status, err) == (0, "")
    assert out.startswith("ClientStateError the client's event loop cannot start: ")
    assert "interpreter" in out

"""A client does not survive a fork, and says so instead of hanging."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.account import AUTH_ID, SEED
from tests.lifetime.conftest import said

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.faults.server import FaultServer

START: Final = """
import asyncio, os, sys
from plivo_endpoints import AsyncClient, Client, ClientStateError
auth_id, url, seed = sys.argv[1:]
def in_child(use, close):
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        return
    try:
        use()
    except ClientStateError as error:
        print(error, flush=True)
    close()
    os._exit(0)
"""

PROGRAMS: Final = {
    "blocking": """
client = Client(auth_id, "t", base_url=url)
client.endpoints.get(seed)
in_child(lambda: client.endpoints.get(seed), client.close)
client.endpoints.get(seed)
client.close()
""",
    "async": """
client = AsyncClient(auth_id, "t", base_url=url)
async def get():
    await client.endpoints.get(seed)
with asyncio.Runner() as runner:
    runner.run(get())
    in_child(lambda: asyncio.new_event_loop().run_until_complete(get()), lambda: None)
    runner.run(get())
    runner.run(client.close())
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_client_carried_over_a_fork(
    name: str, faults: FaultServer, start: Callable[..., Popen[str]]
) -> None:
    """The child is refused, may close it, and the parent goes on undisturbed."""
    account, url = faults.account()
    # Forking with threads is what Python itself warns of.
    program = start(START + PROGRAMS[name], AUTH_ID, url, SEED, options=("-W", "ignore"))
    status, out, err = said(program)
    assert (status, err) == (0, "")
    assert out == "a client used before a fork cannot be used in the child process: create a new one there\n"
    assert len(account.arrivals) == 2


UNUSED: Final = {
    "blocking": """
client = Client(auth_id, "t", base_url=url)
in_child(lambda: print(client.endpoints.get(seed).endpoint_id, flush=True), client.close)
client.endpoints.get(seed)
client.close()
""",
    "async": """
client = AsyncClient(auth_id, "t", base_url=url)
async def get():
    async with client:
        return await client.endpoints.get(seed)
in_child(lambda: print(asyncio.run(get()).endpoint_id, flush=True), lambda: None)
asyncio.run(get())
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", UNUSED)
def test_a_client_that_was_not_used_before_a_fork(
    name: str, faults: FaultServer, start: Callable[..., Popen[str]]
) -> None:
    """It has nothing to lose, so it works on both sides."""
    account, url = faults.account()
    program = start(START + UNUSED[name], AUTH_ID, url, SEED, options=("-W", "ignore"))
    assert said(program) == (0, SEED + "\n", "")
    assert len(account.arrivals) == 2


CHILD_MAKES_ITS_OWN: Final = """
client = Client(auth_id, "t", base_url=url)
client.endpoints.get(seed)
def use():
    with Client(auth_id, "t", base_url=url) as own:
        print(own.endpoints.get(seed).endpoint_id, flush=True)
in_child(use, lambda: None)
client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_makes_its_own(faults: FaultServer, start: Callable[..., Popen[str]]) -> None:
    """What the error advises works."""
    _, url = faults.account()
    program = start(START + CHILD_MAKES_ITS_OWN, AUTH_ID, url, SEED, options=("-W", "ignore"))
    assert said(program) == (0, SEED + "\n", "")

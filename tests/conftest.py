"""What all tests share: a sandbox, clients of it, and canned answers for where one is enough."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from plivo_endpoints import AsyncClient, Client
from plivo_endpoints.sandbox import Sandbox
from tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.postgres import PostgresServer


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_works() -> None:
    """Let what the tests start hear Ctrl-C, which is ignored for all that a script runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def a_state_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the locks of accounts out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def point_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox], None]:
    """Let what takes server and credentials from the environment find a sandbox there."""

    def point(sandbox: Sandbox) -> None:
        monkeypatch.setenv("PLIVO_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("PLIVO_AUTH_ID", sandbox.auth_id)
        monkeypatch.setenv("PLIVO_AUTH_TOKEN", sandbox.auth_token)

    return point


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Serve a sandbox in the test's own loop."""
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
    """Give an async client of the sandbox, without the rate limit that real use needs."""
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=None
    ) as made:
        yield made


@pytest.fixture
def threaded_sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox from a thread, for tests that block."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def blocking_client(threaded_sandbox: Sandbox) -> Iterator[Client]:
    """Give a blocking client of the sandbox."""
    with Client(
        threaded_sandbox.auth_id,
        threaded_sandbox.auth_token,
        base_url=threaded_sandbox.base_url,
        rate_limit=None,
    ) as made:
        yield made


class _CannedResponse(aiohttp.ClientResponse):
    """What aioresponses 0.7.9 would make if it knew that aiohttp 3.14 asks for a stream writer too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answer requests from a list, with no server at all."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", _CannedResponse)
    with aioresponses() as answers:
        yield answers


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server."""
    with running_server() as server:
        yield server

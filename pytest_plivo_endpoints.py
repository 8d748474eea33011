"""Fixtures for pytest: a sandbox account of one's own for each test, and clients signed in to it.

A module beside the package, not in it: pytest imports this in every run, and importing anything from the
package would cost each of them the package's own import.
"""

# ruff: noqa: PLC0415 - importing late is what this module is for
from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from plivo_endpoints import AsyncClient, Client
    from plivo_endpoints.sandbox import Account, Sandbox


@pytest.fixture(scope="session")
def plivo_sandbox_server() -> Iterator[Sandbox]:
    """Serve from a thread for the whole run, or for one worker's share of it under pytest-xdist."""
    from plivo_endpoints.sandbox import Sandbox

    with Sandbox() as server:
        yield server


@pytest.fixture
def plivo_sandbox(plivo_sandbox_server: Sandbox) -> Iterator[Account]:
    """Lend a sandbox account with nothing in it: no endpoint, no request, no fault, no setting."""
    with plivo_sandbox_server.fresh_account() as account:
        yield account


@pytest.fixture
def plivo_blocking_client(plivo_sandbox: Account) -> Iterator[Client]:
    """Lend a blocking client of the test's account."""
    from plivo_endpoints import Client

    with Client(plivo_sandbox.auth_id, plivo_sandbox.auth_token, base_url=plivo_sandbox.base_url) as client:
        yield client


@pytest.fixture
def _plivo_async_plugin(request: pytest.FixtureRequest) -> None:
    # What pytest and trio themselves would say names no remedy.
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        name = backend if isinstance(backend, str) else backend[0]  # the rest of a pair is its options
        if name != "asyncio":
            remedy = 'let a fixture named `anyio_backend` return "asyncio"'
            pytest.fail(f"plivo_client works with asyncio only, not with trio: {remedy}", pytrace=False)
    elif not request.config.pluginmanager.hasplugin("asyncio"):
        remedy = "`pip install pytest-asyncio`, or mark the test with `pytest.mark.anyio`"
        pytest.fail(f"plivo_client is for async tests: {remedy}", pytrace=False)


async def plivo_client(_plivo_async_plugin: None, plivo_sandbox: Account) -> AsyncIterator[AsyncClient]:
    """Lend an async client of the test's account."""
    from plivo_endpoints import AsyncClient

    async with AsyncClient(
        plivo_sandbox.auth_id, plivo_sandbox.auth_token, base_url=plivo_sandbox.base_url
    ) as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Add `plivo_client` in the form that the run's plugin for async tests understands."""
    fixtures = ModuleType("plivo_async_fixtures")
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        fixture = pytest_asyncio.fixture(plivo_client)
    else:
        fixture = pytest.fixture(plivo_client)
    fixtures.plivo_client = fixture  # type: ignore[attr-defined]
    config.pluginmanager.register(fixtures)

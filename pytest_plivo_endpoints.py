"""Pytest fixtures: a sandbox account for each test, and clients of it.

This module is outside the package because pytest imports it in every run: from inside, each run would import
the whole package.
"""

# ruff: noqa: PLC0415 - the imports are deferred on purpose
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
    """A sandbox in a thread, one for the test session; under pytest-xdist one for each worker."""
    from plivo_endpoints.sandbox import Sandbox

    with Sandbox() as server:
        yield server


@pytest.fixture
def plivo_sandbox(plivo_sandbox_server: Sandbox) -> Iterator[Account]:
    """An empty sandbox account: no endpoints, no requests, no faults, default settings."""
    with plivo_sandbox_server.fresh_account() as account:
        yield account


@pytest.fixture
def plivo_blocking_client(plivo_sandbox: Account) -> Iterator[Client]:
    """A blocking client of the test's account."""
    from plivo_endpoints import Client

    with Client(plivo_sandbox.auth_id, plivo_sandbox.auth_token, base_url=plivo_sandbox.base_url) as client:
        yield client


@pytest.fixture
def _plivo_async_plugin(request: pytest.FixtureRequest) -> None:
    # The errors of pytest and trio themselves suggest no fix.
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        name = backend if isinstance(backend, str) else backend[0]  # a pair is (name, options)
        if name != "asyncio":
            fix = 'let a fixture named `anyio_backend` return "asyncio"'
            pytest.fail(f"plivo_client works with asyncio only, not with trio: {fix}", pytrace=False)
    elif not request.config.pluginmanager.hasplugin("asyncio"):
        fix = "`pip install pytest-asyncio`, or mark the test with `pytest.mark.anyio`"
        pytest.fail(f"plivo_client is for async tests: {fix}", pytrace=False)


async def plivo_client(_plivo_async_plugin: None, plivo_sandbox: Account) -> AsyncIterator[AsyncClient]:
    """An async client of the test's account."""
    from plivo_endpoints import AsyncClient

    async with AsyncClient(
        plivo_sandbox.auth_id, plivo_sandbox.auth_token, base_url=plivo_sandbox.base_url
    ) as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Register `plivo_client` as a fixture of pytest-asyncio if that is installed, and else of pytest."""
    fixtures = ModuleType("plivo_async_fixtures")
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        fixture = pytest_asyncio.fixture(plivo_client)
    else:
        fixture = pytest.fixture(plivo_client)
    fixtures.plivo_client = fixture  # type: ignore[attr-defined]
    config.pluginmanager.register(fixtures)

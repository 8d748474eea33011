"""A bare HTTP session, signed in to the sandbox."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox


@pytest.fixture
async def api(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    """Send what the test says, below the account's path and with its credentials."""
    headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
    base = f"{sandbox.base_url}/v1/Account/{sandbox.auth_id}/"
    async with aiohttp.ClientSession(base, headers=headers) as session:
        yield session

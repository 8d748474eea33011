"""Test cases of the standard library: each test has an event loop of its own."""

from __future__ import annotations

import asyncio
import unittest
from typing import ClassVar

from plivo_endpoints import AsyncClient


async def create(client: AsyncClient, username: str) -> str:
    """Create an endpoint and read it back."""
    made = await client.endpoints.create(username=username, password="s3cret-enough", alias="front-desk")
    return (await client.endpoints.get(made.endpoint_id)).endpoint_id


class ClientOfEachTest(unittest.IsolatedAsyncioTestCase):
    """A client is made and closed in the loop of its test."""

    async def asyncSetUp(self) -> None:
        """Make it."""
        self.client = await self.enterAsyncContext(AsyncClient())

    async def test_first(self) -> None:
        """It creates."""
        assert await create(self.client, "first")

    async def test_second(self) -> None:
        """So does the next."""
        assert await create(self.client, "second")


class ClientOfTheClass(unittest.IsolatedAsyncioTestCase):
    """One client is used in the loops of all tests, and closed in another."""

    client: ClassVar[AsyncClient]

    @classmethod
    def setUpClass(cls) -> None:
        """Make it outside of any loop."""
        cls.client = AsyncClient()

    @classmethod
    def tearDownClass(cls) -> None:
        """Close it in a loop that none of its calls ran in."""
        asyncio.run(cls.client.close())

    async def test_third(self) -> None:
        """It creates."""
        assert await create(self.client, "third")

    async def test_fourth(self) -> None:
        """And again in the next loop."""
        assert await create(self.client, "fourth")

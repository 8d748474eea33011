"""A create that times out at the client and takes effect later."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient
from tests.provisioning.fleets import apply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from plivo_endpoints.provisioning import Row
    from plivo_endpoints.sandbox import Sandbox

DELAY = 2.0  # seconds


class SlowRoad:
    """Passes connections on to a server, but holds the first create back, though its sender gives up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held = False
        self._serving: list[asyncio.Task[None] | None] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[int]:
        """Listen within the block, and give the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await asyncio.gather(*(task for task in self._serving if task is not None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._pass(far_reader, writer))
        while chunk := await reader.read(65_536):
            if chunk.startswith(b"POST") and not self._held:
                self._held = True
                await asyncio.sleep(DELAY)  # what is late is the point
            far_writer.write(chunk)
        far_writer.close()
        await asyncio.gather(back, far_writer.wait_closed(), writer.wait_closed())

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
        writer.close()


@pytest.mark.slow
async def test_a_timeout_that_lands_two_seconds_later(
    sandbox: Sandbox, rows: Callable[[int], list[Row]], tmp_path: Path
) -> None:
    """It is not sent again: it is found after the settling time."""
    port = int(sandbox.base_url.rpartition(":")[2])
    async with (
        SlowRoad(port).open() as slow,
        AsyncClient(
            sandbox.auth_id,
            sandbox.auth_token,
            base_url=f"http://127.0.0.1:{slow}",
            rate_limit=None,
            timeout=1.0,
        ) as client,
        apply(client, rows(3), state=tmp_path / "run.db", settle=3.0) as run,
    ):
        statuses = {outcome.key: outcome.status async for outcome in run}
    assert statuses == {"key-1": "adopted", "key-2": "created", "key-3": "created"}
    assert (len(sandbox.endpoints), set(sandbox.applied_creates.values())) == (3, {1})

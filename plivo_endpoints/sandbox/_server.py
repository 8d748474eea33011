"""Serving: in the caller's event loop, or in a thread with a loop of its own."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import ip_address
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")

_IPV4 = 4

# For requests that are only half sent; all else ends at once.
_SHUTDOWN_SECONDS = 0.5

# Connections that may wait to be accepted, when many clients begin at once.
_BACKLOG = 128


class LoopServer:
    """Serves an application on one address, within the running event loop."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._host = host
        self._port = port
        self._listener: asyncio.Server

    async def start(self) -> str:
        """Begin to listen and return the origin at which this machine reaches it."""
        await self._runner.setup()
        try:
            protocol_factory = self._runner.server
            assert protocol_factory is not None  # noqa: S101 - made by the setup
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                protocol_factory, self._host, self._port, backlog=_BACKLOG
            )
        except BaseException:
            await self._runner.cleanup()
            raise
        host, port = self._listener.sockets[0].getsockname()[:2]
        address = ip_address(host)
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == _IPV4 else "::1")
        return f"http://{address}:{port}" if address.version == _IPV4 else f"http://[{address}]:{port}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        loop = asyncio.get_running_loop()
        for listening in self._listener.sockets:
            # Where accepting is not waiting for the socket to be readable, it has no halves to fall between.
            with suppress(NotImplementedError):
                loop.remove_reader(listening)
        # asyncio accepts a connection in three turns of the loop. One that the server's end meets half-way is
        # lost without being closed, and its client waits: so accept no more, and let those under way come in.
        try:
            for _ in range(2):
                await asyncio.sleep(0)
        finally:
            self._listener.close()
            await self._runner.cleanup()


class ThreadServer:
    """Runs a `LoopServer` in a daemon thread of its own."""

    def __init__(self, server: LoopServer) -> None:
        self._server = server
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="plivo-sandbox", daemon=True)
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether the thread is this process's: after a fork it is the parent's."""
        return os.getpid() == self._pid

    def start(self) -> str:
        """Start the thread and return the origin once it listens; raise what kept it from that."""
        self._thread.start()
        try:
            return self._call(self._server.start())
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Stop serving and wait for the thread to end."""
        try:
            self._call(self._server.stop())
        finally:
            self._end()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            self._loop.set_result(loop)
            loop.run_forever()

    def _call(self, coroutine: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop.result()).result()

    def _end(self) -> None:
        loop = self._loop.result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

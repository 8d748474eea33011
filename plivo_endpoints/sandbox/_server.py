"""Serving: in the caller's event loop, or in a thread with a loop of its own."""

import asyncio
import threading
from concurrent.futures import Future

from aiohttp import web

# Who stops a sandbox does not want to wait for whoever still hangs on it.
_SHUTDOWN_SECONDS = 0.1


class LoopServer:
    """Serves an application on one address, within the running event loop."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._host = host
        self._port = port

    async def start(self) -> str:
        """Begin to listen and return the origin, such as `http://127.0.0.1:8080`."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        await self._runner.cleanup()


class ThreadServer:
    """Runs a `LoopServer` in a daemon thread of its own."""

    def __init__(self, server: LoopServer) -> None:
        self._server = server
        self._origin: Future[str] = Future()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="plivo-sandbox", daemon=True)

    def start(self) -> str:
        """Start the thread and return the origin once it listens; raise what kept it from that."""
        self._thread.start()
        return self._origin.result()

    def stop(self) -> None:
        """Stop serving and wait for the thread to end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            origin = await self._server.start()
        except OSError as problem:
            self._origin.set_exception(problem)
            return
        self._origin.set_result(origin)
        await self._stop.wait()
        await self._server.stop()

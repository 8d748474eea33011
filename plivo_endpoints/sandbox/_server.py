"""Servers in the caller's event loop or in a thread, and their shutdown."""

import asyncio
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from yarl import URL

if TYPE_CHECKING:
    from plivo_endpoints.sandbox._sip._listeners import SipListeners

_CLOSING = web.AppKey("closing", asyncio.Event)


def add_closing(app: web.Application) -> None:
    """Prepare an application for `pause` and `is_closing`."""
    app[_CLOSING] = asyncio.Event()
    app.on_shutdown.append(_close)


async def pause(app: web.Application, seconds: float) -> None:
    """Sleep, but wake up when the sandbox stops."""
    try:
        await asyncio.wait_for(app[_CLOSING].wait(), seconds)
    except TimeoutError:
        return


def is_closing(app: web.Application) -> bool:
    """Whether the sandbox is stopping."""
    return app[_CLOSING].is_set()


async def _close(app: web.Application) -> None:
    app[_CLOSING].set()


T = TypeVar("T")

LOGGER = logging.getLogger("plivo_endpoints.sandbox")

_IPV4 = 4

# For requests that are only half received; everything else ends at once.
_SHUTDOWN_SECONDS = 0.5

# Connections that may wait to be accepted when many clients connect at once.
_BACKLOG = 128


def _hide_request(record: logging.LogRecord) -> bool:
    """Log malformed requests without their content: aiohttp quotes the line, including credentials."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = "refused a malformed request", (), None
    return LOGGER.isEnabledFor(record.levelno)


LOGGER.addFilter(_hide_request)


def _accept_any_target(make_request: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """Replace an invalid request target by `*`: aiohttp would log it and send no response."""

    def make(message: RawRequestMessage, *parts: object) -> web.BaseRequest:
        try:
            return make_request(message, *parts)
        except Exception:  # noqa: BLE001 - the parts of a target raise various errors
            return make_request(message._replace(path="*", url=URL("*")), *parts)

    return make


async def stop_accepting(server: asyncio.Server) -> None:
    """Stop listening."""
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        # A loop without readers accepts connections in one step and does not need this.
        with suppress(NotImplementedError):
            loop.remove_reader(listening)
    # asyncio accepts a connection in three iterations of the loop. If the server closes in between, the
    # connection is lost without being closed, and its client hangs. So accept no new connections, and
    # let the pending ones finish.
    try:
        for _ in range(2):
            await asyncio.sleep(0)
    finally:
        server.close()


class LoopServer:
    """Serves an application on one address, and SIP beside it, within the running event loop."""

    def __init__(self, app: web.Application, host: str, port: int, sip: "SipListeners | None" = None) -> None:
        self._runner = web.AppRunner(app, access_log=None, logger=LOGGER, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._host = host
        self._port = port
        self.sip: SipListeners | None = sip
        self._listener: asyncio.Server

    async def start(self) -> str:
        """Start listening and return the origin for clients on this machine."""
        await self._runner.setup()
        try:
            protocol_factory = self._runner.server
            assert protocol_factory is not None  # noqa: S101 - made by the setup
            protocol_factory.request_factory = _accept_any_target(protocol_factory.request_factory)
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                protocol_factory, self._host, self._port, backlog=_BACKLOG
            )
            self._check_sockets()
            host, port = self._listener.sockets[0].getsockname()[:2]
            if self.sip is not None:
                await self._start_sip(self.sip, host)
        except BaseException:
            await self._runner.cleanup()
            raise
        address = ip_address(host)
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == _IPV4 else "::1")
        return f"http://{address}:{port}" if address.version == _IPV4 else f"http://[{address}]:{port}"

    async def _start_sip(self, sip: "SipListeners", host: str) -> None:
        try:
            await sip.start(host)
        except BaseException:
            self._listener.close()
            raise

    def _check_sockets(self) -> None:
        # asyncio skips addresses for which it cannot create a socket.
        if not self._listener.sockets:
            socket.socket().close()  # raises if the process is out of file descriptors
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        async with AsyncExitStack() as stack:  # each step, also if one is cancelled
            stack.push_async_callback(self._runner.cleanup)
            stack.push_async_callback(stop_accepting, self._listener)
            if self.sip is not None:
                await self.sip.stop()


class ThreadServer:
    """Runs a `LoopServer` in a daemon thread of its own."""

    def __init__(self, server: LoopServer) -> None:
        self._server = server
        # Created here and not in the thread, so that an error is raised to the caller.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="plivo-sandbox", daemon=True)
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether the thread belongs to this process; after a fork it belongs to the parent."""
        return os.getpid() == self._pid

    def start(self) -> str:
        """Start the thread and return the origin once it is listening; raise if it cannot."""
        try:
            self._thread.start()
        except BaseException:
            self._runner.close()
            raise
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
        with self._runner:
            self._loop.run_forever()

    def _call(self, coroutine: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

"""UDP and TCP on one port."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import cast

from plivo_endpoints.sandbox._server import stop_accepting
from plivo_endpoints.sandbox._sip._framing import PING, PONG, Framer, FramingError
from plivo_endpoints.sandbox._sip._message import MAX_MESSAGE, Source
from plivo_endpoints.sandbox._sip._registrar import Registrar

# Beyond this number, the connection that was silent for the longest time is closed.
MAX_CONNECTIONS = 200
HALF_RECEIVED_SECONDS = 10.0

MAX_ANSWERS = 1_000
ANSWER_SECONDS = 32.0  # how long a client repeats a request: timer F of RFC 3261

# How often to look for a port that is free for both.
_ATTEMPTS = 20


class RetransmissionCache:
    """Answers a repeated datagram as before, so that it has no second effect."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._answers: OrderedDict[tuple[Source, bytes], tuple[float, bytes | None]] = OrderedDict()

    def answer(self, message: bytes, source: Source, now: float) -> bytes | None:
        """Return the response to a message that was received at `now`, in seconds."""
        key = (source, hashlib.sha256(message).digest())
        then, response = self._answers.get(key, (None, None))
        if then is not None and now - then < ANSWER_SECONDS:
            return response
        response = self._registrar.answer(message, source)
        self._answers[key] = now, response
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return response


class UdpProtocol(asyncio.DatagramProtocol):
    """Answers each datagram to where it came from."""

    def __init__(self, registrar: Registrar) -> None:
        self._answers = RetransmissionCache(registrar)
        self._loop = asyncio.get_running_loop()
        self._is_full = False
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a datagram, unless it is too long or responses are piling up."""
        if len(data) > MAX_MESSAGE or self._is_full:
            return
        source = Source(transport="UDP", host=addr[0], port=addr[1])
        response = self._answers.answer(data, source, self._loop.time())
        if response is not None:
            self._transport.sendto(response, addr)

    def pause_writing(self) -> None:
        """Drop what comes now; the clients will repeat it."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Answer again."""
        self._is_full = False


class Connections:
    """The open TCP connections, at most `MAX_CONNECTIONS`, the most silent one first."""

    def __init__(self) -> None:
        self._open: OrderedDict[asyncio.Transport, None] = OrderedDict()

    def touch(self, transport: asyncio.Transport) -> None:
        """Note that a connection was opened or used."""
        self._open[transport] = None
        self._open.move_to_end(transport)
        if len(self._open) > MAX_CONNECTIONS:
            self._open.popitem(last=False)[0].abort()

    def forget(self, transport: asyncio.Transport) -> None:
        """Note that a connection was closed."""
        self._open.pop(transport, None)

    def abort(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[0].abort()


class TcpProtocol(asyncio.Protocol):
    """Answers the messages of one TCP connection."""

    def __init__(self, registrar: Registrar, connections: Connections) -> None:
        self._registrar = registrar
        self._connections = connections
        self._framer = Framer()
        self._deadline: asyncio.TimerHandle | None = None
        self._source: Source
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._transport = cast("asyncio.Transport", transport)
        host, port = transport.get_extra_info("peername")[:2]
        self._source = Source(transport="TCP", host=host, port=port)
        self._connections.touch(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is now complete; close the connection if it cannot be read."""
        try:
            messages = self._framer.feed(data)
        except FramingError:
            self._transport.abort()
            return
        self._transport.write(b"".join(self._answer(message) for message in messages))
        self._connections.touch(self._transport)
        self._limit_time(has_message=bool(messages))

    def pause_writing(self) -> None:
        """Read no more from a client that does not read its responses."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._connections.forget(self._transport)
        self._stop_timer()

    def _answer(self, message: bytes) -> bytes:
        return PONG if message == PING else self._registrar.answer(message, self._source) or b""

    def _limit_time(self, *, has_message: bool) -> None:
        if has_message or not self._framer.is_waiting:
            self._stop_timer()
        if self._framer.is_waiting and self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(HALF_RECEIVED_SECONDS, self._transport.abort)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class SipListeners:
    """Serves a registrar by UDP and TCP on one port; 0 picks one that is free for both."""

    def __init__(self, registrar: Registrar, port: int) -> None:
        self._registrar = registrar
        self._connections = Connections()
        self._server: asyncio.Server
        self._datagrams: asyncio.DatagramTransport
        self.port: int = port

    async def start(self, host: str) -> None:
        """Listen on `host`; afterwards `port` is the port.

        Raises:
            OSError: the address cannot be served.
        """
        for attempt in range(_ATTEMPTS):
            try:
                await self._listen(host)
            except OSError:
                if self.port or attempt == _ATTEMPTS - 1:
                    raise
            else:
                self.port = self._server.sockets[0].getsockname()[1]
                return

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self._datagrams.close()
        try:
            await stop_accepting(self._server)
        finally:
            self._connections.abort()
            await asyncio.sleep(0)  # they are closed in the next iteration of the loop

    async def _listen(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: TcpProtocol(self._registrar, self._connections), host, self.port
        )
        try:
            address = self._server.sockets[0].getsockname()[:2]
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: UdpProtocol(self._registrar), local_addr=address
            )
        except BaseException:
            self._server.close()
            raise

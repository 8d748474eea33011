"""One accepted connection, byte by byte, and the ways to end it."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

from attrs import field, frozen

_RESET: Final = struct.pack("ii", 1, 0)
_LONGEST_GOODBYE: Final = 5.0


@frozen
class Head:
    """A request's first line and headers."""

    method: str
    target: str
    headers: dict[str, str]


@frozen
class Answer:
    """What an honest server would say, for a fault to spoil."""

    status: int
    reason: str
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict[str, str])

    @property
    def head(self) -> bytes:
        """Status line and headers, up to the empty line and with it."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def encode(self) -> bytes:
        """The whole answer."""
        return self.head + self.body


def make_answer(status: int, reason: str, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer whose headers fit its body; in names, `_` stands for `-`."""
    fields = {"Content-Type": "application/json"} if body else {}
    if status != 204:  # No Content has no length
        fields["Content-Length"] = str(len(body))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, reason, body, {**fields, **named})


class Wire:
    """A connection as its server sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.closed = False
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._read = b""

    async def peek_line(self) -> bytes | None:
        """Return a request's first line and leave it unread; `None` when no more will come."""
        while b"\r\n" not in (seen := self._read or await self._peek()):
            if not seen:
                return None
            await asyncio.sleep(0.001)  # part of a line: the rest is on its way
        return seen.partition(b"\r\n")[0]

    async def _peek(self) -> bytes:
        readable = self._loop.create_future()
        self._loop.add_reader(self._socket, _resolve, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(self._socket)
        return self._socket.recv(4096, socket.MSG_PEEK)

    async def read_head(self) -> Head:
        """Read up to the empty line."""
        while b"\r\n\r\n" not in self._read:
            await self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        return Head(method, target, {name.lower(): value for name, _, value in pairs})

    async def read_body(self, head: Head) -> bytes:
        """Read as many bytes as the headers promise."""
        length = int(head.headers.get("content-length", "0"))
        while len(self._read) < length:
            await self._receive()
        body, self._read = self._read[:length], self._read[length:]
        return body

    async def _receive(self) -> None:
        data = await self._loop.sock_recv(self._socket, 65536)
        if not data:
            raise ConnectionResetError
        self._read += data

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self._socket, data)

    async def wait_for_end(self) -> None:
        """Say nothing more until the client hangs up."""
        with suppress(ConnectionError):
            while await self._loop.sock_recv(self._socket, 65536):
                pass

    def say_goodbye(self) -> None:
        """Close this direction, in order."""
        self.closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def fin(self) -> None:
        """Close in order. What the client still says is read: unread, it would turn the end into a reset."""
        self.say_goodbye()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LONGEST_GOODBYE):
                await self.wait_for_end()

    async def rst(self) -> None:
        """Reset the connection."""
        self.closed = True
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

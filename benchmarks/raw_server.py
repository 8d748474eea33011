"""A server with canned responses, sent as fast as asyncio can or after a delay.

`python -m benchmarks.raw_server SECONDS TOTAL` prints its port and serves until its standard input is closed.
Each response is delayed by SECONDS; lists have TOTAL endpoints.
"""

from __future__ import annotations

import asyncio
import re
import sys
from http import HTTPStatus
from typing import Final

from benchmarks.canned import CREATED, FOUND, ROOT, page

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_OFFSET: Final = re.compile(rb"[?&]offset=([0-9]+)")


def _framed(status: HTTPStatus, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Answering(asyncio.Protocol):
    """One connection: complete requests in, canned responses out."""

    def __init__(self, delay: float, total: int) -> None:
        self._delay = delay
        self._total = total
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            line, self._buffer = self._buffer[: self._buffer.index(b"\r\n")], self._buffer[size:]
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        answer = self._choose(line)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _choose(self, line: bytes) -> bytes:
        method, target, _ = line.split(b" ")
        if method == b"POST":
            return _framed(HTTPStatus.CREATED, CREATED)
        if target.partition(b"?")[0] != ROOT.encode():
            return _framed(HTTPStatus.OK, FOUND)
        offset = _OFFSET.search(target)
        return _framed(HTTPStatus.OK, page(int(offset[1]) if offset else 0, self._total))


async def _serve(delay: float, total: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(delay, total), "127.0.0.1", 0, backlog=1024)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2])))

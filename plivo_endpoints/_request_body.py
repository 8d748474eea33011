"""A request body that is sent at most once, never late, and only on a connection without stray data."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from aiohttp.client_proto import ResponseHandler
from aiohttp.payload import BytesPayload

from plivo_endpoints._clock import CLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter

    from plivo_endpoints._sansio.messages import Attempt

UNUSABLE: Final = "the server closed the connection, or sent a response before the request"
# Seconds. Data from a nearby server is delayed by scheduling rather than by the network.
_SHORTEST_LISTENING: Final = 0.03
_LONGEST_LISTENING: Final = 0.1
_PARTS: Final = 3


class ExchangeError(Exception):
    """A problem that we detected ourselves, so its text is safe to show."""


class ListeningHandler(ResponseHandler):
    """A connection that records whether any data came between two requests.

    aiohttp only reports complete messages: the first bytes of a response stay in its parser until the rest
    arrives, which may be after the next request.
    """

    received = 0  # bytes so far
    answered = 0  # of those, how many came before it was last handed out

    def data_received(self, data: bytes) -> None:
        """Count the bytes."""
        self.received += len(data)
        super().data_received(data)


class Body(BytesPayload):
    """A request body that records when it is sent, and is sent at most once."""

    def __init__(self, body: bytes, attempt: Attempt, heard: set[asyncio.BaseProtocol]) -> None:
        super().__init__(body, content_type="application/json")
        self._attempt = attempt
        self._heard = heard
        self._protocol: asyncio.BaseProtocol | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        attempt, connection = self._attempt, writer.transport
        if attempt.sent:
            raise RuntimeError("request body already sent")
        if attempt.before_send is not None:
            await self._run_hook(attempt.before_send)
        protocol = self._protocol = None if connection is None else connection.get_protocol()
        if attempt.must_not_repeat and protocol is not None and protocol not in self._heard:
            await self._listen(protocol)
        now = CLOCK.monotonic()
        if now >= attempt.send_by:
            attempt.before_send_error = TimeoutError()
            raise attempt.before_send_error
        if connection is None or connection.is_closing() or _has_stray_data(protocol):
            raise ExchangeError(UNUSABLE)
        attempt.phase, attempt.sent = "response", True
        attempt.sent_at, attempt.sent_monotonic = CLOCK.wall(), now
        await super().write_with_length(writer, content_length)
        attempt.left_at = CLOCK.monotonic()

    async def _run_hook(self, before_send: Callable[[], Awaitable[float]]) -> None:
        try:
            self._attempt.send_by = min(self._attempt.send_by, await before_send())
        except Exception as error:
            self._attempt.before_send_error = error  # aiohttp wraps what a body raises
            raise

    async def _listen(self, protocol: asyncio.BaseProtocol) -> None:
        """Wait on a new connection for a server that sends data before the request.

        What such a server sends on accepting arrives within a round trip, and connecting took at least one.
        """
        self._heard -= {known for known in self._heard if not _is_open(known)}
        self._heard.add(protocol)
        now = CLOCK.monotonic()
        took = now - (self._attempt.started_at or math.inf)
        affordable = (self._attempt.send_by - now) / 2
        listening = min(max(2 * took, _SHORTEST_LISTENING), _LONGEST_LISTENING, affordable)
        for _ in range(
            _PARTS
        ):  # a single sleep could end, after a stall of the loop, before any data was read
            await asyncio.sleep(listening / _PARTS)

    @property
    def was_answered_twice(self) -> bool:
        """Whether more than one response came, so that it is unknown which is ours."""
        # Neither attribute is public; a test checks that they still work.
        protocol = self._protocol
        return isinstance(protocol, ResponseHandler) and bool(protocol._buffer or protocol._tail)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _has_stray_data(protocol: asyncio.BaseProtocol | None) -> bool:
    """Whether unrequested data came, which would be taken for the response to the next request."""
    if isinstance(protocol, ListeningHandler):
        return protocol.received > protocol.answered
    # Of a caller's session. From Python 3.12 on, aiohttp looks at what has arrived only after writing.
    return isinstance(protocol, ResponseHandler) and protocol.should_close


def _is_open(protocol: asyncio.BaseProtocol) -> bool:
    return isinstance(protocol, ResponseHandler) and protocol.is_connected()

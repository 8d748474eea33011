"""A request body that knows when it leaves: never twice, never late, and not into a stranger's answer."""

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

SPOILT: Final = "the server closed the connection, or sent an answer before it was asked"
# Seconds. What a server near by says needs time to be scheduled rather than to travel.
_SHORTEST_LISTENING: Final = 0.03
_LONGEST_LISTENING: Final = 0.1
_PARTS: Final = 3


class ExchangeError(Exception):
    """What we found wrong with an exchange ourselves; its text is ours to show."""


class ListeningHandler(ResponseHandler):
    """A connection that knows whether anything at all came between two requests.

    What aiohttp tells of is whole: the first bytes of an answer lie in its parser, unseen, until the rest is
    there, and that may be after the next request.
    """

    received = 0  # bytes so far
    answered = 0  # of those, what came before it was last handed out

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        self.received += len(data)
        super().data_received(data)


class Body(BytesPayload):
    """A request body that tells when it begins to leave, and leaves once."""

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
            await self._ask(attempt.before_send)
        protocol = self._protocol = None if connection is None else connection.get_protocol()
        if attempt.must_not_repeat and protocol is not None and protocol not in self._heard:
            await self._listen(protocol)
        now = CLOCK.monotonic()
        if now >= attempt.send_by:
            attempt.before_send_error = TimeoutError()
            raise attempt.before_send_error
        if connection is None or connection.is_closing() or _holds_an_answer(protocol):
            raise ExchangeError(SPOILT)
        attempt.phase, attempt.sent = "response", True
        attempt.sent_at, attempt.sent_monotonic = CLOCK.wall(), now
        await super().write_with_length(writer, content_length)
        attempt.left_at = CLOCK.monotonic()

    async def _ask(self, before_send: Callable[[], Awaitable[None]]) -> None:
        try:
            await before_send()
        except Exception as error:
            self._attempt.before_send_error = error  # aiohttp wraps what a body raises
            raise

    async def _listen(self, protocol: asyncio.BaseProtocol) -> None:
        """Give a server that speaks first on a new connection the time in which it would be heard.

        What it says as soon as it has accepted arrives one round trip after the connection was made, and to
        make it took one or more.
        """
        self._heard -= {known for known in self._heard if not _is_open(known)}
        self._heard.add(protocol)
        now = CLOCK.monotonic()
        took = now - (self._attempt.started_at or math.inf)
        while_it_may = (self._attempt.send_by - now) / 2
        listening = min(max(2 * took, _SHORTEST_LISTENING), _LONGEST_LISTENING, while_it_may)
        for _ in range(_PARTS):  # a loop that was held up finds all of it past at once, having heard nothing
            await asyncio.sleep(listening / _PARTS)

    @property
    def was_answered_twice(self) -> bool:
        """Whether more came than the one answer, so that nobody can say which of them is ours."""
        # Neither has a public name; a test holds them to their meaning.
        protocol = self._protocol
        return isinstance(protocol, ResponseHandler) and bool(protocol._buffer or protocol._tail)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _holds_an_answer(protocol: asyncio.BaseProtocol | None) -> bool:
    """Whether there is an answer to nobody's question, which the next request would take for its own."""
    return isinstance(protocol, ListeningHandler) and protocol.received > protocol.answered


def _is_open(protocol: asyncio.BaseProtocol) -> bool:
    return isinstance(protocol, ResponseHandler) and protocol.is_connected()


class Turns:
    """Lets the loop read what has come in, for all at once who ask in one of its turns.

    A pooled connection that the server has closed, or has spoken on unasked, is then seen to be, before a
    request is written to it. It takes two turns: in the next the loop finds out what came in, yet runs first
    what was due before; what that wakes runs in the turn after, when all has been read.
    """

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def let_loop_poll(self) -> asyncio.Future[None]:
        """Return what is done after two turns."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._wake)
        turned: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turned)
        return turned

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turned in waiting:
            if not turned.done():  # cancelled meanwhile
                turned.set_result(None)

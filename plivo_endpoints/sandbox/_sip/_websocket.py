"""SIP over WebSocket, at `/signalling`: RFC 7118."""

import asyncio
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from plivo_endpoints.sandbox._sip._framing import PING, PONG
from plivo_endpoints.sandbox._sip._message import MAX_MESSAGE, Source
from plivo_endpoints.sandbox._sip._registrar import Registrar

SIGNALLING_PATH = "/signalling"
MAX_SOCKETS = 200
_PROTOCOL = "sip"
# Closes the sockets of clients that are gone without saying so.
_HEARTBEAT_SECONDS = 30.0
_CLOSE_SECONDS = 0.5


def add_signalling(app: web.Application, registrar: Registrar) -> None:
    """Add the WebSocket to the application."""
    signalling = Signalling(registrar)
    app.on_shutdown.append(signalling.close)
    app.router.add_get(SIGNALLING_PATH, signalling.serve, allow_head=False)


class Signalling:
    """The open WebSockets."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer the messages of one WebSocket until it is closed."""
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if _PROTOCOL not in {each.strip() for each in offered}:
            raise web.HTTPBadRequest(reason="the WebSocket subprotocol must be sip")
        if len(self._sockets) >= MAX_SOCKETS:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(
            protocols=(_PROTOCOL,),
            max_msg_size=MAX_MESSAGE,
            heartbeat=_HEARTBEAT_SECONDS,
            timeout=_CLOSE_SECONDS,
            compress=False,
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            with suppress(ConnectionError):
                await self._answer_all(socket, _source(request))
        finally:
            self._sockets.discard(socket)
        return socket

    async def close(self, _app: web.Application) -> None:
        """Close all sockets, as the sandbox is stopping."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._sockets]
        await asyncio.gather(*closing)

    async def _answer_all(self, socket: web.WebSocketResponse, source: Source) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                response = self._answer(message.data.encode(), source)
                if response is not None:
                    await socket.send_str(response.decode())
            elif message.type is WSMsgType.BINARY:
                response = self._answer(message.data, source)
                if response is not None:
                    await socket.send_bytes(response)

    def _answer(self, message: bytes, source: Source) -> bytes | None:
        return PONG if message == PING else self._registrar.answer(message, source)


def _source(request: web.Request) -> Source:
    peer = request.get_extra_info("peername")
    return Source(transport="WS", host=peer[0], port=peer[1])

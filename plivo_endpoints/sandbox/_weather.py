"""Carrying out a fault on a live connection."""

import socket
import struct
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from plivo_endpoints.sandbox._answers import refuse
from plivo_endpoints.sandbox._closing import pause

if TYPE_CHECKING:
    from plivo_endpoints.sandbox._faults import Fault

# Close at once, with RST instead of FIN.
_LINGER_NOT = struct.pack("ii", 1, 0)


def faulty_answer(fault: "Fault", real: web.StreamResponse | None) -> web.StreamResponse | None:
    """Return what is sent in the end; `None` if the connection drops before any byte."""
    if fault.reset and fault.truncate_at is None:
        return None
    answer = real if fault.status is None else _substitute(fault, fault.status)
    if answer is not None:
        answer.headers.update(fault.headers)
    return answer


async def deliver(
    request: web.Request, fault: "Fault", answer: web.StreamResponse | None
) -> web.StreamResponse:
    """Send `answer`, or nothing, as slowly and as incompletely as the fault wants."""
    if fault.latency:
        await pause(request.app, fault.latency)
    if answer is None:
        _drop(request, reset=True)
        return web.Response()
    if not fault.drip and fault.truncate_at is None:
        return answer
    # Whoever asked may have left: that is the point of a slow answer.
    with suppress(ConnectionError):
        return await _send_in_part(request, fault, answer)
    return answer


async def _send_in_part(
    request: web.Request, fault: "Fault", answer: web.StreamResponse
) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    partly = web.StreamResponse(status=answer.status, headers=answer.headers)
    partly.content_length = len(body)
    await partly.prepare(request)
    shown = body[: fault.truncate_at]
    step = 1 if fault.drip else max(len(shown), 1)
    for start in range(0, len(shown), step):
        await partly.write(shown[start : start + step])
        if fault.drip:
            await pause(request.app, fault.drip)
    if fault.truncate_at is not None:
        _drop(request, reset=fault.reset)
    return partly


def _drop(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:  # the other side was quicker
        return
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    else:
        transport.close()


def _substitute(fault: "Fault", status: int) -> web.Response:
    if fault.body is None:
        known = status in HTTPStatus.__members__.values()
        return refuse(status, HTTPStatus(status).phrase.lower() if known else "error")
    headers = {"Content-Type": fault.content_type}
    return web.Response(status=status, body=fault.body.encode(), headers=headers)

"""The kinds of fault: each spoils an honest answer in its own way."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from attrs import evolve, frozen

from tests.faults.wire import Answer, Wire, make_answer

Play = Callable[[Wire, Answer], Awaitable[None]]
End = Callable[[Wire], Awaitable[None]]

NOTHING: Final = Answer(0, "")
OVERSIZED: Final = 300_000
DEEP: Final = 200_000


@frozen
class Fault:
    """One kind of fault.

    Attributes:
        name: What it is called in complaints.
        play: Sends the spoilt answer.
        ends: The attempt class it must lead to. A create's unreadable success is ambiguous, so what reads
            well for some methods only still counts as "ambiguous": every other method recovers from that.
        reads: How much of the request is read first.
        may_apply: Whether the request can have been carried out, and whether it can have not.
        timeout: Seconds for the call; short only where waiting is the fault.
        status: The answer's status, where it is a refusal by rule.
        lands_after: Seconds after which the request is carried out, answered or not.
    """

    name: str
    play: Play
    ends: Literal["ambiguous", "refused", "throttled", "done"] = "ambiguous"
    reads: Literal["line", "headers", "body"] = "body"
    may_apply: tuple[bool, ...] = (True, False)
    timeout: float = 30.0
    status: int | None = None
    lands_after: float | None = None


async def answer_honestly(wire: Wire, answer: Answer) -> None:
    """Send the answer as it is."""
    await wire.send(answer.encode())


HONEST: Final = Fault("honest", answer_honestly, ends="done", may_apply=(True,))


def slow(seconds: float) -> Fault:
    """Return the honest answer, late."""

    async def play(wire: Wire, answer: Answer) -> None:
        await asyncio.sleep(seconds)
        await answer_honestly(wire, answer)

    return Fault("slow", play)


def cut(length: int, end: End) -> Play:
    """Send that many bytes of the answer, then end the connection."""

    async def play(wire: Wire, answer: Answer) -> None:
        await wire.send(answer.encode()[:length])
        await end(wire)

    return play


def instead(other: Answer) -> Play:
    """Send another answer."""

    async def play(wire: Wire, _: Answer) -> None:
        await wire.send(other.encode())

    return play


def body(content: bytes) -> Play:
    """Send another body under the same status, as JSON."""

    async def play(wire: Wire, answer: Answer) -> None:
        # A 204 has no body to spoil.
        await wire.send(make_answer(200 if answer.status == 204 else answer.status, "OK", content).encode())

    return play


def raw(before: bytes, after: bytes = b"", end: End | None = None) -> Play:
    """Send bytes around the honest answer's body, with no regard for the rules of HTTP."""

    async def play(wire: Wire, answer: Answer) -> None:
        await wire.send(before + answer.body + after)
        if end is not None:
            await end(wire)

    return play


def _after_status_line(end: End) -> Play:
    async def play(wire: Wire, answer: Answer) -> None:
        await cut(answer.head.index(b"\r\n") + 2, end)(wire, answer)

    return play


def _mid_headers(end: End) -> Play:
    async def play(wire: Wire, answer: Answer) -> None:
        await cut(len(answer.head) - 3, end)(wire, answer)

    return play


def _mid_body(end: End) -> Play:
    async def play(wire: Wire, answer: Answer) -> None:
        longer = answer if answer.body else make_answer(200, "OK", b'{"message":"deleted"}')
        await cut(len(longer.head) + len(longer.body) // 2, end)(wire, longer)

    return play


async def _drip(wire: Wire, answer: Answer) -> None:
    for byte in answer.encode():
        await wire.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def _never(wire: Wire, _: Answer) -> None:
    await wire.wait_for_end()
    await wire.fin()


async def _headers_then_never(wire: Wire, answer: Answer) -> None:
    await wire.send(answer.head if answer.body else answer.head[:-2])
    await _never(wire, answer)


async def _no_content_with_body(wire: Wire, _: Answer) -> None:
    await wire.send(b"HTTP/1.1 204 No Content\r\n\r\n" + b'{"message":"done"}')


async def _noise_first(wire: Wire, answer: Answer) -> None:
    await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    await wire.send(answer.encode())


async def _two_answers(wire: Wire, answer: Answer) -> None:
    await wire.send(answer.encode() + make_answer(404, "Not Found", b'{"error":"stray"}').encode())


async def _close_in_secret(wire: Wire, answer: Answer) -> None:
    await wire.send(answer.encode())
    await wire.fin()


async def _announce_close(wire: Wire, answer: Answer) -> None:
    await wire.send(evolve(answer, headers={**answer.headers, "Connection": "close"}).encode())
    await wire.fin()


async def _chunked(wire: Wire, answer: Answer) -> None:
    parts = [answer.body[:7], answer.body[7:]] if answer.body else [b"{", b"}"]
    head = make_answer(200, "OK", Transfer_Encoding="chunked")
    headers = {name: value for name, value in head.headers.items() if name != "Content-Length"}
    await wire.send(evolve(head, headers=headers).head)
    for part in [*parts, b""]:
        await wire.send(b"%x\r\n%s\r\n" % (len(part), part))


async def _answer_then_reset(wire: Wire, answer: Answer) -> None:
    await wire.send(answer.encode())
    await wire.rst()


def _encoded(encoding: str, compress: Callable[[bytes], bytes]) -> Play:
    async def play(wire: Wire, answer: Answer) -> None:
        said = make_answer(200, "OK", compress(answer.body or b"{}"), Content_Encoding=encoding)
        await wire.send(said.encode())

    return play


def _deflate_bare(body: bytes) -> bytes:
    return zlib.compress(body)[2:-4]


_BOMB: Final = gzip.compress(b"[" * 50_000_000)


async def _odd_fields(wire: Wire, answer: Answer) -> None:
    said: dict[str, object] = {**json.loads(answer.body or b"{}"), **_ODD_FIELDS}
    await wire.send(make_answer(200, "OK", json.dumps(said).encode()).encode())


def _redirect(status: int) -> Fault:
    other = make_answer(status, "Moved", Location="http://127.0.0.1:9/stolen/v1/")
    return Fault(f"{status}", instead(other), "refused", may_apply=(False,), status=status)


def _refuse(status: int) -> Fault:
    said = make_answer(status, "No", b'{"api_id":"a-no","error":"refused"}')
    return Fault(f"{status}", instead(said), "refused", may_apply=(False,), status=status)


def _throttle(name: str, **headers: str) -> Fault:
    said = make_answer(429, "Too Many Requests", b'{"error":"slow down"}', **headers)
    return Fault(name, instead(said), "throttled", may_apply=(False,), status=429)


def _fail(status: int) -> Fault:
    return Fault(f"{status}", instead(make_answer(status, "Failed", b'{"error":"broken"}')))


def _both_ends(fault: Fault, make: Callable[[End], Play]) -> tuple[Fault, Fault]:
    return (
        evolve(fault, name=f"FIN {fault.name}", play=make(Wire.fin)),
        evolve(fault, name=f"RST {fault.name}", play=make(Wire.rst)),
    )


def _silence(end: End) -> Play:
    return cut(0, end)


def _page(status: int) -> Fault:
    page = b"<!doctype html><title>Welcome</title><p>Not an API"
    return Fault(f"HTML {status}", instead(make_answer(status, "OK", page, Content_Type="text/html")))


_WRONG_TYPES: Final = {
    "endpoint_id": 5, "username": ["x"], "alias": {"a": 1}, "token": 7, "message": 1, "api_id": False,
}  # fmt: skip
# What no answer is lost to; NaN and half a surrogate pair among it.
_ODD_FIELDS: Final[dict[str, object]] = {
    "alias": {}, "message": 5, "api_id": [1], "sip_expires": "0000-00-00 00:00:00", "sip_registered": 1,
    "number": float("nan"), "text": "\ud800",
}  # fmt: skip
_CHUNKED_HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

KINDS: Final[tuple[Fault, ...]] = (
    HONEST,
    *_both_ends(Fault("before reading", answer_honestly, reads="line", may_apply=(False,)), _silence),
    *_both_ends(Fault("after the headers", answer_honestly, reads="headers", may_apply=(False,)), _silence),
    *_both_ends(Fault("after the body", answer_honestly), _silence),
    *_both_ends(Fault("after the status line", answer_honestly), _after_status_line),
    *_both_ends(Fault("mid headers", answer_honestly), _mid_headers),
    *_both_ends(Fault("mid body", answer_honestly), _mid_body),
    *map(_fail, (500, 501, 502, 503, 504, 505, 507, 511, 599, 408)),
    Fault("503 Retry-After", instead(make_answer(503, "Busy", Retry_After="1"))),
    _throttle("429"),
    _throttle("429 Retry-After 0", Retry_After="0"),
    _throttle("429 Retry-After 1", Retry_After="1"),
    _throttle("429 Retry-After junk", Retry_After="soon"),
    *map(_redirect, (300, 301, 302, 304, 307, 308)),
    Fault("303", instead(make_answer(303, "See Other", Location="http://127.0.0.1:9/stolen/v1/"))),
    *map(_refuse, (400, 401, 403, 404, 405, 409, 410, 413, 418, 422)),
    *map(_page, (200, 201, 502)),
    Fault("empty body", instead(make_answer(200, "OK"))),
    Fault("truncated JSON", body(b'{"endpoint_id": "1234", "username": "al')),
    Fault("wrong types", body(json.dumps(_WRONG_TYPES).encode())),
    Fault("odd fields", _odd_fields, "done", may_apply=(True,)),
    Fault("id that leaves its path", body(b'{"endpoint_id": "../x", "username": "alice1"}')),
    Fault("missing fields", body(b"{}")),
    Fault("null fields", body(b'{"endpoint_id": null, "username": null, "token": null}')),
    Fault("null", body(b"null")),
    Fault("JSON string", body(b'"created"')),
    Fault("JSON array", body(b'[{"endpoint_id": "1"}]')),
    Fault("JSON number", body(b"17")),
    Fault("NaN", body(b"NaN")),
    Fault("not UTF-8", body(b'{"endpoint_id": "\xff\xfe"}')),
    Fault("deep JSON", body(b"[" * DEEP)),
    Fault("deep closed JSON", body(b"[" * DEEP + b"]" * DEEP)),
    Fault("oversized", body(b'{"x": "' + b"x" * OVERSIZED + b'"}')),
    Fault("oversized chunks", raw(_CHUNKED_HEAD, (b"10000\r\n" + b" " * 65536 + b"\r\n") * 8 + b"0\r\n\r\n")),
    Fault("gzip", _encoded("gzip", gzip.compress), "done", may_apply=(True,)),
    Fault("deflate", _encoded("deflate", zlib.compress), "done", may_apply=(True,)),
    Fault("deflate without its header", _encoded("Deflate", _deflate_bare), "done", may_apply=(True,)),
    Fault("gzip only by name", _encoded("gzip", bytes), "done", may_apply=(True,)),
    Fault("cut gzip", _encoded("gzip", lambda body: gzip.compress(body)[:-9])),
    Fault("brotli", _encoded("br", lambda body: b"\x8b" + body)),
    Fault("gzip bomb", instead(make_answer(200, "OK", _BOMB, Content_Encoding="gzip"))),
    Fault("drip", _drip, timeout=2.0),
    Fault("never answers", _never, timeout=2.0),
    Fault("headers, then silence", _headers_then_never, timeout=2.0),
    Fault("204 with a body", _no_content_with_body),
    Fault("noise before the answer", _noise_first, "done", may_apply=(True,)),
    Fault("two answers", _two_answers),
    Fault("closed in secret", _close_in_secret, "done", may_apply=(True,)),
    Fault("closed with notice", _announce_close, "done", may_apply=(True,)),
    Fault("chunked", _chunked, "done", may_apply=(True,)),
    Fault("101", instead(make_answer(101, "Switching Protocols", Upgrade="x", Connection="upgrade"))),
    Fault("garbage status line", raw(b"HELLO world\r\n\r\n")),
    Fault("no HTTP at all", raw(b"", end=Wire.fin)),
    Fault("status of one digit", raw(b"HTTP/1.1 2 OK\r\nContent-Length: 0\r\n\r\n")),
    Fault("status 999", instead(make_answer(999, "What"))),
    Fault("huge header", instead(make_answer(200, "OK", X_Huge="x" * 70_000))),
    Fault("ten thousand headers", raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")),
    Fault("header with NUL", raw(b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}")),
    Fault("bad chunk size", raw(_CHUNKED_HEAD + b"zz\r\n")),
    Fault("negative chunk size", raw(_CHUNKED_HEAD + b"-5\r\n")),
    Fault("cut chunk", raw(_CHUNKED_HEAD + b"fff\r\n", end=Wire.fin)),
    Fault("no last chunk", raw(_CHUNKED_HEAD + b"2\r\n{}\r\n", end=Wire.fin)),
    Fault("negative length", raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")),
    Fault("two lengths", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")),
    Fault("length too long", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", end=Wire.fin)),
    Fault("HTTP/1.0 empty until the end", raw(b"HTTP/1.0 200 OK\r\n\r\n{", end=Wire.fin)),
)

# The answer itself may or may not survive; whatever the client makes of it, no create is doubled or lost.
ANSWER_THEN_RESET: Final = Fault("answer, then RST", _answer_then_reset, may_apply=(True,))
LANDS_LATER: Final = Fault("lands after 2 s", _never, may_apply=(False,), lands_after=2.0)

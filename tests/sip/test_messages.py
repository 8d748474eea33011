"""SIP messages: what is read, what is answered, and what is repeated in the answer."""

import pytest

from plivo_endpoints.sandbox._sip._framing import PING, Framer, FramingError
from plivo_endpoints.sandbox._sip._message import (
    MAX_FIELDS,
    MAX_MESSAGE,
    Reply,
    Source,
    read_request,
    write_response,
)
from tests.sip.phones import SOURCE, Phone, read_answer

PLAIN = (
    b"OPTIONS sip:phone.plivo.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:alice@phone.plivo.com>;tag=1\r\n"
    b"To: <sip:phone.plivo.com>\r\n"
    b"Call-ID: call-1\r\n"
    b"CSeq: 1 OPTIONS\r\n"
    b"\r\n"
)


def answer(message: bytes, source: Source = SOURCE) -> list[str]:
    """Return the lines of a 200 to a message."""
    request = read_request(message)
    assert request is not None
    return write_response(request, source, Reply(status=200)).decode().split("\r\n")


def problem(message: bytes) -> str | None:
    """Return what is wrong with a message that can be answered."""
    request = read_request(message)
    assert request is not None
    return request.problem


def test_compact_names_and_folded_lines() -> None:
    """They are the same as full names and one line, in any case."""
    message = (
        b"OPTIONS sip:phone.plivo.com SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.1\r\n ;branch=z9hG4bK1\r\n"
        b"f: <sip:alice@phone.plivo.com>;tag=1\r\nT:\t<sip:phone.plivo.com>\r\ni : call-1\r\n"
        b"cSEQ: 1\r\n\tOPTIONS\r\nL: 0\r\n\r\n"
    )
    request = read_request(message)
    assert request is not None
    assert None is request.problem
    assert ("call-1", 1) == (request.call_id, request.sequence)
    assert "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=192.0.2.7" in answer(message)


def test_every_via_is_repeated() -> None:
    """In order, whether in one line or several; the topmost gets the source."""
    vias = (
        b'Via: SIP/2.0/TCP a.example;x="1,2;rport";received=1.1.1.1;rport, SIP/2.0/UDP b:5070\r\n'
        b"Via: SIP / 2.0 / UDP c\r\n"
    )
    lines = answer(PLAIN.replace(b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n", vias))
    assert [
        'Via: SIP/2.0/TCP a.example;x="1,2;rport";rport=5060;received=192.0.2.7, SIP/2.0/UDP b:5070',
        "Via: SIP / 2.0 / UDP c",
    ] == [line for line in lines if line.startswith("Via")]


def test_what_an_answer_repeats() -> None:
    """From, To, Call-ID and CSeq as they were; To gets a tag, the same for the same request."""
    assert answer(PLAIN) == answer(PLAIN)
    lines = answer(PLAIN)
    assert "From: <sip:alice@phone.plivo.com>;tag=1" in lines
    assert "Call-ID: call-1" in lines
    assert "CSeq: 1 OPTIONS" in lines
    (to,) = [line for line in lines if line.startswith("To: ")]
    assert to.startswith("To: <sip:phone.plivo.com>;tag=")
    tagged = PLAIN.replace(b"To: <sip:phone.plivo.com>", b"To: <sip:phone.plivo.com;tag=no>;Tag=yes")
    assert "To: <sip:phone.plivo.com;tag=no>;Tag=yes" in answer(tagged)
    assert answer(PLAIN.replace(b"call-1", b"call-2"))[3] != to


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"\r\n\r\n", b"\x00" * 100, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        PLAIN.replace(b"OPTIONS sip:phone.plivo.com SIP/2.0", b"SIP/2.0 200 OK"),
        PLAIN.replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
        *(PLAIN.replace(name, b"X") for name in (b"Via", b"From", b"To:", b"Call-ID", b"CSeq")),
        PLAIN.replace(b"SIP/2.0/UDP 10.0.0.1:5060", b"UDP 10.0.0.1"),
        PLAIN.replace(b"10.0.0.1:5060", b""),
        PLAIN.replace(b"Call-ID: call-1", b"Call-ID:"),
    ],
)
def test_what_cannot_be_answered(message: bytes) -> None:
    """A response, another protocol, and what lacks a field that an answer must repeat, is ignored."""
    assert None is read_request(message)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (PLAIN.replace(b"CSeq: 1 OPTIONS", b"CSeq: x OPTIONS"), "CSeq"),
        (PLAIN.replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 REGISTER"), "CSeq"),
        (PLAIN.replace(b"CSeq: 1 OPTIONS", b"CSeq: 2147483648 OPTIONS"), "CSeq"),
        (PLAIN.replace(b"CSeq", b"To: <sip:a@b>\r\nCSeq"), "To must not be repeated"),
        (PLAIN.replace(b"CSeq", b"l: 5\r\nCSeq"), "Content-Length"),
        (PLAIN.replace(b"CSeq", b"l: -1\r\nCSeq"), "Content-Length"),
        (PLAIN.replace(b"CSeq", b"l: " + b"9" * 5000 + b"\r\nCSeq"), "Content-Length"),
        (PLAIN.replace(b"CSeq", b"no colon\r\nCSeq"), "malformed"),
        (PLAIN.replace(b"CSeq", b"b d: 1\r\nCSeq"), "malformed"),
        (PLAIN.replace(b"\r\n\r\n", b"\r\n"), "malformed"),
        (PLAIN.replace(b"\r\n\r\n", b"\r\n" + b"A: 1\r\n" * MAX_FIELDS + b"\r\n"), "malformed"),
        (PLAIN.replace(b"alice", b"al\xffice"), "UTF-8"),
    ],
)
def test_what_gets_a_400(message: bytes, said: str) -> None:
    """Where there is enough to answer, the answer says what is wrong."""
    assert said in (problem(message) or "")


def test_control_characters_are_not_repeated() -> None:
    """A lone line end in a value cannot begin a header field of the answer."""
    lines = answer(PLAIN.replace(b"call-1", b"call\nX-Injected: 1\r\x00"))
    assert "Call-ID: call X-Injected: 1" in [line.rstrip() for line in lines]


def test_a_malformed_request_is_answered(phone: Phone) -> None:
    """With a 400 that says why."""
    response = phone.registrar.answer(PLAIN.replace(b"1 OPTIONS", b"1 PING"), SOURCE)
    assert response is not None
    found = read_answer(response)
    assert 400 == found.status
    assert "CSeq" in found.first("Warning")


def cut(stream: bytes, size: int) -> list[bytes]:
    """Return what a framer makes of a stream that comes in pieces."""
    framer = Framer()
    return [
        message
        for start in range(0, len(stream), size)
        for message in framer.feed(stream[start : start + size])
    ]


@pytest.mark.parametrize("size", [1, 3, 7, 100, 10_000])
def test_a_stream_is_cut_into_messages(size: int) -> None:
    """However it comes: bodies belong to their message, keep-alives are seen, other line ends are not."""
    first = PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n\r\n\r\n")
    second = PLAIN.replace(b"\r\n\r\n", b"\r\nl:0\r\n\r\n")
    stream = first + PING + second + b"\r\n" + second + PING + PING
    assert [first, PING, second, b"\r\n" + second, PING, PING] == cut(stream, size)


@pytest.mark.parametrize(
    "stream",
    [
        PLAIN,
        PLAIN.replace(b"\r\n\r\n", b"\r\nl: x\r\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\nl: %d\r\n\r\n" % MAX_MESSAGE),
        b"A" * (MAX_MESSAGE + 1),
        b"\r\n" + b"A" * (MAX_MESSAGE + 1),
    ],
)
def test_a_stream_that_cannot_be_cut(stream: bytes) -> None:
    """Messages that are too long, or do not say how long, end it."""
    with pytest.raises(FramingError):
        cut(stream, 1000)


def test_many_keep_alives_at_once() -> None:
    """A read of nothing else is cut in a moment."""
    assert 60_000 == len(cut(PING * 60_000, 240_000))

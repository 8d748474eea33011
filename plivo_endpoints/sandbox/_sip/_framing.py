"""Cuts a stream of bytes into SIP messages and keep-alives."""

import re

from plivo_endpoints.sandbox._sip._message import MAX_MESSAGE

PING, PONG = b"\r\n\r\n", b"\r\n"  # RFC 5626, 4.4.1
_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*(?=\r\n)", re.IGNORECASE
)
_END = b"\r\n\r\n"


class FramingError(ValueError):
    """The stream cannot be cut into messages: one is too long, or does not say how long it is."""


class Framer:
    """Keeps the bytes of a message until it is complete, which are less than `MAX_MESSAGE`."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_waiting(self) -> bool:
        """Whether a message is only half received."""
        return bool(self._rest.strip(b"\r\n"))

    def feed(self, received: bytes) -> list[bytes]:
        """Return the messages that are now complete; a `PING` among them is a keep-alive.

        Raises:
            FramingError: what follows cannot be read.
        """
        stream, start = self._rest + received, 0
        complete: list[bytes] = []
        while (end := _find_end(stream, start)) is not None:
            complete.append(stream[start:end])
            start = end
        self._rest = stream[start:]
        return complete


def _find_end(stream: bytes, start: int) -> int | None:
    """Return where the message or keep-alive that begins at `start` ends, or `None` if it is not complete."""
    if stream.startswith(PING, start):
        return start + len(PING)
    # A message may follow a line end that belongs to none.
    head = start + len(PONG) if stream.startswith(PONG, start) else start
    end = stream.find(_END, head, head + MAX_MESSAGE)
    if end < 0:
        if len(stream) - head >= MAX_MESSAGE:
            raise FramingError("the message is too long")
        return None
    # Without its length, nobody knows where the next message begins.
    match = _CONTENT_LENGTH.search(stream, head, end + len(PONG))
    if match is None:
        raise FramingError("Content-Length is missing")
    end += len(_END) + int(match[1])
    if end - head > MAX_MESSAGE:
        raise FramingError("the message is too long")
    return end if end <= len(stream) else None

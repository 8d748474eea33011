"""SIP requests and responses as bytes: RFC 3261, with the response rules of RFC 3581."""

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from plivo_endpoints.sandbox._sip._syntax import SipSyntaxError, read_address, split

MAX_MESSAGE = 16 * 1024  # bytes
MAX_FIELDS = 100
_LAST_SEQUENCE = 2**31

_START_LINE = re.compile(r"([A-Za-z0-9.!%*_+`'~-]{1,30}) (\S{1,1000}) SIP/2\.0", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,100}")
_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*[A-Za-z0-9-]+\s+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)\s*(?::\s*[0-9]{1,5})?"
)
_SEQUENCE = re.compile(r"([0-9]{1,10})\s+(\S+)", re.ASCII)
_FOLD = re.compile(r"\r\n[ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_FULL_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "c": "content-type",
        "e": "content-encoding",
        "f": "from",
        "i": "call-id",
        "k": "supported",
        "l": "content-length",
        "m": "contact",
        "s": "subject",
        "t": "to",
        "v": "via",
    }
)
# What every response repeats of its request, beside Via.
_ECHOED = (("from", "From"), ("to", "To"), ("call-id", "Call-ID"), ("cseq", "CSeq"))

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        200: "OK",
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        413: "Request Entity Too Large",
        416: "Unsupported URI Scheme",
        420: "Bad Extension",
        480: "Temporarily Unavailable",
        481: "Call/Transaction Does Not Exist",
        501: "Not Implemented",
    }
)


@frozen(kw_only=True)
class Source:
    """Where a request came from."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} ({self.transport})"


@frozen(kw_only=True)
class Request:
    """A request that can be answered: it has a Via, From, To, Call-ID and CSeq.

    `fields` maps lower-case full names to values in their order. `problem` is what else is wrong with it, or
    `None`; such a request gets a 400.
    """

    method: str
    uri: str
    fields: Mapping[str, tuple[str, ...]] = field(repr=False)  # may hold credentials
    problem: str | None = None

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a header field."""
        return self.fields.get(name, ())

    def first(self, name: str) -> str | None:
        """Return the first value of a header field, or `None`."""
        return next(iter(self.all(name)), None)

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.fields["call-id"][0]

    @property
    def sequence(self) -> int:
        """The number in CSeq; 0 if it is invalid."""
        match = _SEQUENCE.fullmatch(self.fields["cseq"][0])
        return int(match[1]) if match else 0


@frozen(kw_only=True)
class Reply:
    """What a response says beyond what it repeats of its request."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()


def read_request(message: bytes) -> Request | None:
    """Return the request in `message`, or `None` if it is none, or one that cannot be answered."""
    head, blank_line, body = message.lstrip(b"\r\n").partition(b"\r\n\r\n")
    text = head.decode("utf-8", "surrogateescape")
    start, *lines = [_CONTROL.sub(" ", line) for line in _FOLD.sub(" ", text).split("\r\n")]
    match = _START_LINE.fullmatch(start)
    if match is None:
        return None
    fields, is_sound = _read_fields(lines)
    request = Request(method=match[1], uri=match[2], fields=fields)
    if not fields.get("via") or not _VIA.fullmatch(split(split(fields["via"][0], ",")[0], ";")[0]):
        return None
    if any(not request.first(name) for name, _ in _ECHOED):
        return None
    problem = None if is_sound and blank_line else "the header is malformed"
    problem = problem or _problem(request, body) or (None if _is_text(text) else "the header is not UTF-8")
    return Request(method=request.method, uri=request.uri, fields=fields, problem=problem)


def _read_fields(lines: list[str]) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Return the header fields that can be read, and whether all can be."""
    found: dict[str, tuple[str, ...]] = {}
    is_sound = len(lines) <= MAX_FIELDS
    for line in lines[:MAX_FIELDS]:
        name, colon, value = line.partition(":")
        key = name.rstrip().lower()
        if not colon or not _FIELD_NAME.fullmatch(key):
            is_sound = False
            continue
        key = _FULL_NAMES.get(key, key)
        found[key] = (*found.get(key, ()), value.strip())
    return found, is_sound


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(request: Request, body: bytes) -> str | None:
    if repeated := [shown for name, shown in _ECHOED if len(request.all(name)) > 1]:
        return f"{repeated[0]} must not be repeated"
    match = _SEQUENCE.fullmatch(request.all("cseq")[0])
    if match is None or match[2] != request.method or int(match[1]) >= _LAST_SEQUENCE:
        return "CSeq must be a number below 2^31 and the method"
    length = request.first("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and int(length[:9]) <= len(body)):
        return "Content-Length does not match the body"
    return None


def write_response(request: Request, source: Source, reply: Reply) -> bytes:
    """Return the response to a request from `source`."""
    vias = list(request.all("via"))
    vias[0] = _with_source(vias[0], source)
    lines = [f"SIP/2.0 {reply.status} {_REASONS[reply.status]}"]
    lines += [f"Via: {via}" for via in vias]
    lines += [f"{shown}: {_echo(request, name)}" for name, shown in _ECHOED]
    lines += [f"{name}: {value}" for name, value in reply.fields]
    lines += ["Server: plivo-endpoints sandbox", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _with_source(via: str, source: Source) -> str:
    """Add `received`, and the value of `rport` if the client requests it."""
    first, *others = split(via, ",")
    sent_by, *parameters = split(first, ";")
    names = [parameter.partition("=")[0].strip().lower() for parameter in parameters]
    kept = [
        f"rport={source.port}" if name == "rport" else parameter
        for name, parameter in zip(names, parameters, strict=True)
        if name != "received"
    ]
    return ", ".join([";".join([sent_by, *kept, f"received={source.host}"]), *others])


def _echo(request: Request, name: str) -> str:
    value = request.all(name)[0]
    return value if name != "to" or _has_tag(value) else f"{value};tag={_tag(request)}"


def _has_tag(to: str) -> bool:
    try:
        return "tag" in read_address(to, "To").parameters
    except SipSyntaxError:
        return False


def _tag(request: Request) -> str:
    # The same for a retransmission, without keeping anything (RFC 3261, 8.2.7).
    parts = (*request.all("via"), request.all("from")[0], request.call_id, request.all("cseq")[0])
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]

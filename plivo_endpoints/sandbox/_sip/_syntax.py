"""The parts of a SIP header field's value: lists, parameters, addresses and URIs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from attrs import frozen

_URI = re.compile(
    r"sips?:(?:([^@:]*)(?::[^@]*)?@)?(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?(?:[;?].*)?", re.IGNORECASE
)


class SipSyntaxError(ValueError):
    """A value does not follow the syntax of RFC 3261; the message names the field."""


def split(value: str, separator: str) -> list[str]:
    """Split at each `separator` outside quoted strings and angle brackets, and strip white space."""
    return [value[start:end].strip() for start, end in _spans(value, separator)]


def _spans(value: str, separator: str) -> Iterator[tuple[int, int]]:
    # One pass: a regular expression would scan again from each quote that is never closed.
    start = 0
    quoted = bracketed = escaped = False
    for index, character in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = character == "\\", character != '"'
        elif character == '"':
            quoted = True
        elif character in "<>":
            bracketed = character == "<"
        elif character == separator and not bracketed:
            yield start, index
            start = index + 1
    yield start, len(value)


def read_parameters(parts: Iterable[str]) -> dict[str, str]:
    """Return the values of `name=value` parts by lower-case name; the first of a name counts."""
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        found.setdefault(name.strip().lower(), _unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


@frozen(kw_only=True)
class Address:
    """A URI with the parameters of its header field, as in From, To and Contact."""

    uri: str
    parameters: Mapping[str, str]


def read_address(value: str, field: str) -> Address:
    """Return the address in a value of `field`.

    Raises:
        SipSyntaxError: an angle bracket is missing.
    """
    target, *parameters = split(value, ";")
    if "<" in target or ">" in target:
        if not target.endswith(">") or "<" not in target:
            raise SipSyntaxError(f"{field} is not an address")
        target = target[target.rindex("<") + 1 : -1].strip()
    return Address(uri=target, parameters=read_parameters(parameters))


@frozen(kw_only=True)
class SipUri:
    """The user, unescaped, and the host of a SIP URI; the user is empty in the URI of a server."""

    user: str
    host: str


def read_uri(uri: str, field: str) -> SipUri:
    """Return the parts of a SIP URI.

    Raises:
        SipSyntaxError: it is not the URI of a SIP user or server.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise SipSyntaxError(f"{field} is not a SIP URI")
    return SipUri(user=unquote(match[1] or ""), host=match[2].lower())

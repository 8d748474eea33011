"""A phone that speaks SIP as bytes, for tests without a network, and the parts of answers."""

import hashlib
import itertools
import re

from attrs import define, field

from plivo_endpoints.sandbox import Sandbox, SandboxEndpoint
from plivo_endpoints.sandbox._sip._message import Source
from plivo_endpoints.sandbox._sip._registrar import Registrar

DOMAIN = "phone.plivo.com"
SOURCE = Source(transport="UDP", host="192.0.2.7", port=5060)

_numbers = itertools.count(1)


def md5(text: str) -> str:
    """Return an MD5 in hexadecimal digits."""
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the protocol's


@define(kw_only=True)
class Answer:
    """A response, as far as tests look at it."""

    status: int
    lines: list[str]

    def all(self, name: str) -> list[str]:
        """Return the values of a header field."""
        return [line.split(": ", 1)[1] for line in self.lines if line.lower().startswith(f"{name.lower()}: ")]

    def first(self, name: str) -> str:
        """Return the only value of a header field."""
        (value,) = self.all(name)
        return value


def read_answer(response: bytes) -> Answer:
    """Read a response."""
    head, _, body = response.decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    assert body == ""
    return Answer(status=int(start.split(" ")[1]), lines=lines)


def digest(
    challenge: str, username: str, password: str, *, uri: str, method: str = "REGISTER", nc: int = 1
) -> str:
    """Return the Authorization field for a challenge, as RFC 2617 says; `nc=0` without qop."""
    found = re.search(r'nonce="([^"]+)"', challenge)
    assert found is not None
    nonce = found[1]
    ha1, ha2 = md5(f"{username}:{DOMAIN}:{password}"), md5(f"{method}:{uri}")
    middle = f":{nc:08x}:cn0nce:auth:" if nc else ":"
    extra = f', qop=auth, nc={nc:08x}, cnonce="cn0nce"' if nc else ""
    response = md5(f"{ha1}:{nonce}{middle}{ha2}")
    return (
        f'Digest username="{username}", realm="{DOMAIN}", nonce="{nonce}", uri="{uri}", '
        f'response="{response}"{extra}'
    )


@define(kw_only=True)
class Phone:
    """Sends requests for one user straight to a registrar."""

    registrar: Registrar
    user: str
    source: Source = SOURCE
    call_id: str = field(factory=lambda: f"call-{next(_numbers)}")
    sequence: int = 0

    @property
    def contact(self) -> str:
        """Return where the phone can be reached."""
        return f"sip:{self.user}@{self.source.host}:{self.source.port}"

    def request(self, *fields: str, method: str = "REGISTER", uri: str = f"sip:{DOMAIN}") -> bytes:
        """Return a request with more header fields."""
        self.sequence += 1
        lines = (
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.source.host}:{self.source.port};branch=z9hG4bK{next(_numbers)};rport",
            f"From: <sip:{self.user}@{DOMAIN}>;tag=from1",
            f"To: <sip:{self.user}@{DOMAIN}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.sequence} {method}",
            *fields,
            "Content-Length: 0",
        )
        return "\r\n".join([*lines, "", ""]).encode()

    def send(self, *fields: str, method: str = "REGISTER", uri: str = f"sip:{DOMAIN}") -> Answer:
        """Send a request and return its answer."""
        response = self.registrar.answer(self.request(*fields, method=method, uri=uri), self.source)
        assert response is not None
        return read_answer(response)

    def challenge(self) -> str:
        """Return the challenge to a REGISTER without credentials."""
        return self.send().first("WWW-Authenticate")

    def log_in(self, password: str, *fields: str, contact: str | None = None) -> Answer:
        """Register as phones do: be challenged, and answer."""
        authorization = digest(self.challenge(), self.user, password, uri=f"sip:{DOMAIN}")
        shown = f"Contact: {contact or f'<{self.contact}>'}"
        return self.send(f"Authorization: {authorization}", "User-Agent: Test phone", shown, *fields)


def seeded(sandbox: Sandbox) -> SandboxEndpoint:
    """Return the only endpoint, whose password is `password-1`."""
    (endpoint,) = sandbox.endpoints.values()
    return endpoint

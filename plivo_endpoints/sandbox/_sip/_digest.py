"""Digest authentication with MD5: RFC 2617, with `qop=auth` and without."""

import hashlib
import hmac
import itertools
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable

from attrs import frozen

from plivo_endpoints.sandbox._sip._syntax import read_parameters, split
from plivo_endpoints.sandbox._store import SIP_DOMAIN

NONCE_SECONDS = 300
# Nonces that were used for a login, with the number of their last use.
MAX_USED = 10_000

_NONCE = re.compile(r"([0-9]{1,12})-([0-9]{1,18})-[0-9a-f]{32}", re.ASCII)
_COUNT = re.compile(r"[0-9a-fA-F]{8}", re.ASCII)


@frozen(kw_only=True)
class Credentials:
    """What an Authorization field contains.

    `count` is `nc`, or 0 without `qop`. `suffix` is what is hashed between the nonce and the method.
    """

    username: str
    nonce: str
    uri: str
    response: str
    count: int
    suffix: str

    def match(self, method: str, ha1: str) -> bool:
        """Whether they were made with the password whose HA1 is given."""
        expected = _md5(f"{ha1}:{self.nonce}:{self.suffix}{_md5(f'{method}:{self.uri}')}")
        return hmac.compare_digest(expected.encode(), self.response.lower().encode())


def read_credentials(values: Iterable[str]) -> Credentials | None:
    """Return the digest credentials for this realm among Authorization fields, or `None`."""
    for value in values:
        scheme, _, rest = value.partition(" ")
        given = read_parameters(split(rest, ","))
        if scheme.lower() == "digest" and given.get("realm") == SIP_DOMAIN:
            return _credentials(given)
    return None


def _credentials(given: dict[str, str]) -> Credentials | None:
    if not given.keys() >= {"username", "nonce", "uri", "response"}:
        return None
    if given.get("algorithm", "MD5").upper() != "MD5" or given.get("qop", "auth") != "auth":
        return None
    count, suffix = "0", ""
    if "qop" in given:
        count = given.get("nc", "")
        suffix = f"{count}:{given.get('cnonce', '')}:auth:"
        if not _COUNT.fullmatch(count):
            return None
    return Credentials(
        username=given["username"],
        nonce=given["nonce"],
        uri=given["uri"],
        response=given["response"],
        count=int(count, 16),
        suffix=suffix,
    )


class Nonces:
    """Issues nonces without keeping them, and accepts each use of them once.

    A nonce contains its time and a number, authenticated by a key of this process. Only logins with the right
    password are remembered, so that requests without one cost no memory. When the oldest of them are dropped,
    so is every nonce of their age, as its uses are no longer known.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)
        self._used: OrderedDict[str, int] = OrderedDict()
        self._dropped = 0

    def challenge(self, now: int, *, stale: bool = False) -> str:
        """Return the WWW-Authenticate field of a 401 at `now`, in seconds since the epoch."""
        nonce = self._authenticated(f"{now}-{next(self._numbers)}")
        note = ", stale=true" if stale else ""
        return f'Digest realm="{SIP_DOMAIN}", nonce="{nonce}", algorithm=MD5, qop="auth"{note}'

    def use(self, credentials: Credentials, now: int) -> bool:
        """Whether the nonce may be used at `now`; if so, the use is remembered.

        With `qop`, `nc` must grow with each use. Without, a nonce can be used once.
        """
        nonce, count = credentials.nonce, credentials.count
        match = _NONCE.fullmatch(nonce)
        if match is None or nonce != self._authenticated(f"{match[1]}-{match[2]}"):
            return False
        is_fresh = 0 <= now - int(match[1]) <= NONCE_SECONDS and int(match[2]) > self._dropped
        if not is_fresh or count <= self._used.get(nonce, -1):
            return False
        self._used[nonce] = count
        if len(self._used) > MAX_USED:
            self._drop_oldest()
        return True

    def _drop_oldest(self) -> None:
        nonce, _ = self._used.popitem(last=False)
        self._dropped = max(self._dropped, int(nonce.split("-")[1]))

    def _authenticated(self, text: str) -> str:
        return f"{text}-{hmac.digest(self._key, text.encode(), hashlib.sha256).hex()[:32]}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()

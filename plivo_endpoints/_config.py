"""Who we are and how we behave: credentials, settings, and the environment they may come from."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NoReturn, SupportsIndex
from urllib.parse import SplitResult, urlsplit

from attrs import field, frozen

from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import check_count, check_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BASE_URL: Final = "https://api.plivo.com"
_MISSING: Final = "is missing: pass both, or set PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN"
_AUTH_ID: Final = re.compile(r"(?:MA|SA)[A-Z0-9]{18}")


class Unpicklable:
    """What holds a secret or a live connection is neither pickled nor copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


class Secret(Unpicklable):
    """A string that shows itself only when asked by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"


@frozen
class Credentials(Unpicklable):
    """An auth id and its auth token, always a pair from one place."""

    auth_id: str
    auth_token: Secret


@frozen
class RateLimit:
    """At most `requests` requests in any window of `seconds` seconds, retries and list pages included.

    Plivo allows an account 300 requests in 5 seconds; the default of 290 leaves room for jitter on the way.
    """

    requests: int = 290
    seconds: float = 5.0

    def __attrs_post_init__(self) -> None:
        check_count("rate_limit.requests", self.requests, 1)
        check_seconds("rate_limit.seconds", self.seconds)


@frozen(kw_only=True)
class CallOptions:
    """What may differ from call to call: see `with_options`."""

    timeout: float
    max_attempts: int

    def __attrs_post_init__(self) -> None:
        check_seconds("timeout", self.timeout)
        check_count("max_attempts", self.max_attempts, 1)


@frozen(kw_only=True)
class ConnectionSettings(Unpicklable):
    """Where to connect and how much to allow."""

    base_url: str
    max_connections: int
    max_body: int
    proxy: str | None = field(repr=False)  # may carry credentials of its own

    def __attrs_post_init__(self) -> None:
        check_count("max_connections", self.max_connections, 1)
        check_count("max_body", self.max_body, 1)
        if self.proxy is not None and urlsplit(self.proxy).scheme not in {"http", "https"}:
            raise InvalidArgumentError("proxy", "must be an http or https URL")


def resolve_credentials(
    auth_id: str | None, auth_token: str | None, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """Take both from the arguments or both from `PLIVO_AUTH_ID` and `PLIVO_AUTH_TOKEN`, never one of each."""
    if auth_id is None and auth_token is None:
        auth_id, auth_token = environ.get("PLIVO_AUTH_ID"), environ.get("PLIVO_AUTH_TOKEN")
    if not auth_id:
        raise InvalidArgumentError("auth_id", _MISSING)
    if not auth_token:
        raise InvalidArgumentError("auth_token", _MISSING)
    if not _AUTH_ID.fullmatch(auth_id):
        raise InvalidArgumentError("auth_id", "must be MA or SA and 18 capital letters and digits")
    if not (auth_token.isascii() and auth_token.isprintable()):
        raise InvalidArgumentError("auth_token", "must be printable ASCII")
    return Credentials(auth_id, Secret(auth_token))


def resolve_base_url(base_url: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return origin and optional prefix without a trailing slash, from the argument or `PLIVO_BASE_URL`."""
    url = (base_url or environ.get("PLIVO_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    parts = _split(url)
    if parts.username is not None or not url.isprintable() or any(mark in url for mark in " ?#"):
        raise InvalidArgumentError("base_url", "must be an origin and an optional path, nothing else")
    if parts.path.endswith("/v1"):
        raise InvalidArgumentError("base_url", "must not end in /v1, which is added to it")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return url
    raise InvalidArgumentError("base_url", "must be https, or http to this machine itself (loopback)")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        parts = None
    if parts is None or not parts.hostname or any(s in {".", ".."} for s in parts.path.split("/")):
        raise InvalidArgumentError("base_url", "must be a URL such as https://api.plivo.com")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def resolve_proxy(proxy: str | None, base_url: str) -> str | None:
    """Look a proxy up once: the environment is asked only when the caller says "environment".

    It is not asked about this machine itself, which no proxy on another one could reach.
    """
    if proxy != "environment":
        return proxy
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - costs an import nobody else needs

    parts = _split(base_url)
    if _is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    named = getproxies().get(parts.scheme)
    return f"http://{named}" if named and "://" not in named else named  # as others read it

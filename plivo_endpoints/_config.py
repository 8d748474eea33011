"""Credentials and settings, from arguments or from the environment."""

from __future__ import annotations

import inspect
import os
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Literal, NoReturn, SupportsIndex, cast, get_args
from urllib.parse import SplitResult, urlsplit

from attrs import frozen

from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import (
    NOT_TEXT,
    as_text,
    check_bool,
    check_count,
    check_seconds,
    plain,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Priority = Literal["interactive", "bulk"]

LARGEST_PAGE: Final = 20  # endpoints; https://www.plivo.com/docs/voice/api/endpoints
PREFETCH: Final = 4  # pages, for a whole list: enough to use up Plivo's quota at usual latencies
DEFAULT_BASE_URL: Final = "https://api.plivo.com"
_MISSING: Final = "is missing: pass both auth_id and auth_token, or set PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN"
_ALLOW_HTTP: Final = "PLIVO_ALLOW_HTTP"
_HTTPS_ONLY: Final = (
    "must be https, or http to this machine itself (loopback); "
    f"to allow http to other hosts, pass allow_http=True or set {_ALLOW_HTTP}=1 in the environment"
)
_NO_PRIORITY: Final = 'must be "interactive" or "bulk"'
_PRINTABLE_ASCII: Final = re.compile(r"[ -~]+")
_ASCII_ONLY: Final = "must be printable ASCII"
_NOT_ASYNC: Final = "must be text, or a plain function: a coroutine would never be awaited"
_BAD_RESULT: Final = "the function that returns it must return printable ASCII text, and not an empty one"
_REMEMBERED: Final = 8  # auth tokens that a function returned
_AUTH_ID: Final = re.compile(r"(?:MA|SA)[A-Z0-9]{18}")


class Unpicklable:
    """Base class of what holds a secret or a live connection, so must not be pickled or copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


class Secret(Unpicklable):
    """A string that only `reveal` returns.

    It is in a slot, so neither `repr` nor `vars` shows it. Code that reads slots can still find it: a process
    cannot hide anything from itself.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"


class AuthToken(Unpicklable):
    """The auth token: one that stays, or a function that returns the current one."""

    __slots__ = ("_function", "_recent")

    def __init__(self, given: str | Callable[[], str]) -> None:
        self._function = given if callable(given) else None
        self._recent: tuple[Secret, ...] = () if callable(given) else (Secret(plain(given)),)

    @property
    def rotates(self) -> bool:
        """Whether it can change."""
        return self._function is not None

    def check(self) -> None:
        """Raise `InvalidArgumentError` if it breaks a rule; a function is not called."""
        if self._function is None:
            require("auth_token", _problem(self._recent[0], _PRINTABLE_ASCII, _ASCII_ONLY))
        elif inspect.iscoroutinefunction(self._function):
            require("auth_token", _NOT_ASYNC)

    def reveal(self) -> str:
        """Return the current one; calls the function."""
        if self._function is not None:
            self._remember(_call(self._function))
        return self._recent[0].reveal()

    def recent(self) -> tuple[str, ...]:
        """Return those that a request in flight may carry: the current one, and some before it."""
        return tuple([token.reveal() for token in self._recent])

    def _remember(self, token: Secret) -> None:
        if token.reveal() not in self.recent()[:1]:
            self._recent = (token, *self._recent[: _REMEMBERED - 1])

    def __repr__(self) -> str:
        return "AuthToken('…')"


def _call(function: Callable[[], str]) -> Secret:
    try:
        token = Secret(plain(function()))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        rule = f"the function that returns it raised {type(error).__name__}"
        raise InvalidArgumentError("auth_token", rule) from error
    require("auth_token", _result_problem(token))
    return token


def _result_problem(token: Secret) -> str | None:
    if inspect.iscoroutine(token.reveal()):
        token.reveal().close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return _NOT_ASYNC
    text = as_text(token.reveal())
    return None if text is not None and _PRINTABLE_ASCII.fullmatch(text) else _BAD_RESULT


@frozen
class Credentials(Unpicklable):
    """An auth id and its auth token, always from the same source."""

    auth_id: str
    auth_token: AuthToken


@frozen
class RateLimit:
    """At most `requests` requests in any window of `seconds` seconds, retries and list pages included.

    Plivo allows an account 300 requests in 5 seconds; the default of 290 leaves room for network jitter.

    Attributes:
        requests: How many, at least 1.
        seconds: The length of the window.
    """

    requests: int = 290
    seconds: float = 5.0

    def __attrs_post_init__(self) -> None:
        check_count("rate_limit.requests", self.requests, 1)
        check_seconds("rate_limit.seconds", self.seconds)


DEFAULT_RATE: Final = RateLimit()
# Less than for one process: the time between sending and arriving differs more between several.
DEFAULT_SHARED_RATE: Final = RateLimit(280, 5.0)


@frozen(kw_only=True)
class CallOptions:
    """Options that may differ from call to call; see `with_options`."""

    timeout: float
    max_attempts: int
    priority: Priority = "interactive"

    def __attrs_post_init__(self) -> None:
        check_seconds("timeout", self.timeout)
        check_count("max_attempts", self.max_attempts, 1)
        require("priority", None if as_text(self.priority) in get_args(Priority) else _NO_PRIORITY)


@frozen(kw_only=True)
class ConnectionSettings(Unpicklable):
    """Where to connect, and the limits."""

    base_url: str
    max_connections: int
    max_body: int
    proxy: Secret | None  # may carry credentials of its own

    def __attrs_post_init__(self) -> None:
        check_count("max_connections", self.max_connections, 1)
        check_count("max_body", self.max_body, 1)


def conceal(value: str | None) -> Secret | None:
    """Hide an argument that may be a secret, so that no frame below the caller's shows it."""
    return None if value is None else Secret(plain(value))


def resolve_credentials(auth_id: Secret | None, auth_token: AuthToken | None) -> Credentials:
    """Take both from the arguments, or both from `PLIVO_AUTH_ID` and `PLIVO_AUTH_TOKEN`."""
    if auth_id is None and auth_token is None:
        auth_id = _variable("PLIVO_AUTH_ID")
        auth_token = AuthToken(os.environ.get("PLIVO_AUTH_TOKEN") or "")
    id_rule = "must be MA or SA followed by 18 capital letters and digits"
    require("auth_id", _problem(auth_id, _AUTH_ID, id_rule))
    auth_token = auth_token or AuthToken("")
    auth_token.check()
    return Credentials(cast("Secret", auth_id).reveal(), auth_token)


def conceal_token(value: str | Callable[[], str] | None) -> AuthToken | None:
    """Hide an auth token, as `conceal` hides other arguments."""
    return None if value is None else AuthToken(value)


def _variable(name: str) -> Secret | None:
    return conceal(os.environ.get(name) or None)


def _problem(given: Secret | None, form: re.Pattern[str], rule: str) -> str | None:
    text = "" if given is None else as_text(given.reveal())
    if text is None:
        return NOT_TEXT
    if not text:
        return _MISSING
    return None if form.fullmatch(text) else rule


def resolve_base_url(base_url: Secret | None, *, allow_http: bool) -> str:
    """Return the base URL without a trailing slash, from the argument or `PLIVO_BASE_URL`."""
    check_bool("allow_http", allow_http)
    url = base_url or _variable("PLIVO_BASE_URL") or Secret(DEFAULT_BASE_URL)
    require("base_url", _base_url_problem(url, allow_http=allow_http or os.environ.get(_ALLOW_HTTP) == "1"))
    return url.reveal().rstrip("/")


def _base_url_problem(base_url: Secret, *, allow_http: bool) -> str | None:
    given = as_text(base_url.reveal())
    if given is None:
        return NOT_TEXT
    url = given.rstrip("/")
    parts = _split(url)
    if (
        parts is None
        or parts.scheme not in {"http", "https"}
        or {".", ".."}.intersection(parts.path.split("/"))
    ):
        return "must be a URL such as https://api.plivo.com"
    if parts.username is not None or not url.isprintable() or any(mark in url for mark in " ?#"):
        return "must consist of an origin and an optional path only"
    if parts.path.endswith("/v1"):
        return "must not end in /v1, which the client adds"
    may_be_http = allow_http or _is_loopback(parts.hostname or "")
    return None if parts.scheme == "https" or may_be_http else _HTTPS_ONLY


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; `None` if it is malformed or has no host."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError:
        return None
    return parts if parts.hostname else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def resolve_proxy(proxy: Secret | None, base_url: str) -> Secret | None:
    """Return the proxy, if any; the environment is read only if the argument is "environment"."""
    if proxy is not None and as_text(proxy.reveal()) == "environment":
        proxy = _proxy_from_environment(base_url)
    if proxy is not None:
        require("proxy", _proxy_problem(proxy))
    return proxy


def _proxy_from_environment(base_url: str) -> Secret | None:
    """Read the variables as `requests` does, but not for loopback, which no proxy could reach."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow, and only needed here

    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(parts.netloc) or _is_in_no_proxy_network(host):
        return None
    named = conceal(getproxies().get(parts.scheme) or getproxies().get("all"))
    if named is None or "://" in named.reveal():
        return named
    return Secret(f"http://{named.reveal()}")  # as `requests` reads it


def _is_in_no_proxy_network(host: str) -> bool:
    """Whether `NO_PROXY` has a CIDR block with the host; the standard library does not support blocks."""
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for block in no_proxy.split(","):
        try:
            if ip_address(host) in ip_network(block.strip(), strict=False):
                return True
        except ValueError:
            continue  # the host or the entry is a name
    return False


def _proxy_problem(proxy: Secret) -> str | None:
    url = as_text(proxy.reveal())
    if url is None:
        return f'{NOT_TEXT}: the URL of a proxy, or "environment"'
    if _scheme(url) not in {"http", "https"}:
        return "must be an http or https URL"
    if not _is_usable_proxy(url):
        return "must be a URL such as http://user:password@host:3128, with special characters percent-encoded"
    return None


def _scheme(url: str) -> str:
    """Return the scheme of a URL in lower case."""
    return url.partition(":")[0].lower()


def _is_usable_proxy(url: str) -> bool:
    from yarl import URL  # noqa: PLC0415 - aiohttp's parser; only needed with a proxy

    parts = _split(url)
    if (
        parts is None
        or not url.isprintable()
        or parts.path not in {"", "/"}
        or any(m in url for m in " ?#\\")
    ):
        return False
    try:
        read = URL(url)
        login = (read.user or "", read.password or "")
        "".join(login).encode("latin-1")  # the encoding of the Basic header
        return bool(read.host and read.port) and ":" not in login[0]
    except ValueError:
        return False

"""Validates a client's arguments and builds its connections."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plivo_endpoints._config import (
    DEFAULT_RATE,
    ConnectionSettings,
    RateLimit,
    Secret,
    conceal,
    resolve_base_url,
    resolve_credentials,
    resolve_proxy,
)
from plivo_endpoints._connections import Connections
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._postgres import is_postgres_url
from plivo_endpoints._validation import check_callable, require

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import aiohttp

    from plivo_endpoints._config import AuthToken
    from plivo_endpoints._events import Event
    from plivo_endpoints._shared_window import RateLimitStore


_RATE_LIMIT: Final = "PLIVO_RATE_LIMIT"
_NO_PLACE: Final = (
    "must be the absolute path of a file, or a URL that begins with postgresql://; a number belongs in "
    "rate_limit= or --rate"
)


def connect(
    auth_id: Secret | None,
    auth_token: AuthToken | None,
    *,
    base_url: Secret | None,
    allow_http: bool,
    max_connections: int,
    max_body: int,
    proxy: Secret | None,
    rate_limit: RateLimit | RateLimitStore | None,
    ssl_context: ssl.SSLContext | None,
    on_event: Callable[[Event], None] | None,
    session: aiohttp.ClientSession | None = None,
) -> Connections:
    """Return the connections of a new client.

    Arguments that may be secret are concealed: tracebacks show this frame and those below it.
    """
    credentials = resolve_credentials(auth_id, auth_token)
    _check_parts(session=session, ssl_context=ssl_context, rate_limit=rate_limit, on_event=on_event)
    url = resolve_base_url(base_url, allow_http=allow_http)
    settings = ConnectionSettings(
        base_url=url,
        max_connections=max_connections,
        max_body=max_body,
        proxy=resolve_proxy(proxy, url),
    )
    return Connections(
        settings,
        credentials,
        rate_limit=_resolve_rate_limit(rate_limit),
        ssl_context=ssl_context,
        session=session,
        on_event=on_event,
    )


def _check_parts(*, session: object, ssl_context: object, rate_limit: object, on_event: object) -> None:
    require("session", _session_problem(session))
    require("ssl_context", _ssl_problem(ssl_context))
    require("rate_limit", _rate_limit_problem(rate_limit))
    check_callable("on_event", on_event)
    if inspect.iscoroutinefunction(on_event):
        require("on_event", "must be a plain function: a coroutine would never be awaited")


def _rate_limit_problem(rate_limit: object) -> str | None:
    kind = type(rate_limit)
    if rate_limit is None or issubclass(kind, RateLimit):
        return None
    if hasattr(kind, "reserve") and hasattr(kind, "pause"):
        return _store_problem(rate_limit)
    return "must be a RateLimit, a RateLimitStore such as SharedRateLimit, or None for no limit"


def _store_problem(store: object) -> str | None:
    limit, processes = getattr(store, "limit", None), getattr(store, "processes", None)
    if isinstance(limit, RateLimit) and isinstance(processes, int) and processes >= 1:
        return None
    return "must have a RateLimit as `limit`, and as `processes` a whole number of at least 1"


def _resolve_rate_limit(given: RateLimit | RateLimitStore | None) -> RateLimit | RateLimitStore | None:
    place = conceal(os.environ.get(_RATE_LIMIT) or None) if given is DEFAULT_RATE else None
    if place is None:
        return given
    try:
        return _open_store(place)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(_RATE_LIMIT, error.rule) from None


def _open_store(place: Secret) -> RateLimitStore:
    if is_postgres_url(place.reveal()):
        from plivo_endpoints._postgres_rate_limit import PostgresRateLimit  # noqa: PLC0415 - seldom needed

        return PostgresRateLimit(place.reveal())
    # Programs with other working directories would use other files.
    if not Path(place.reveal()).is_absolute():
        require(_RATE_LIMIT, _NO_PLACE)
    from plivo_endpoints._shared_rate_limit import SharedRateLimit  # noqa: PLC0415 - sqlite3 is seldom needed

    return SharedRateLimit(place.reveal())


def _session_problem(session: object) -> str | None:
    if session is None:
        return None
    import aiohttp  # noqa: PLC0415 - already imported if there is a session

    # No look-alike: sending a create only once, and knowing when it was sent, depends on aiohttp itself.
    if not issubclass(type(session), aiohttp.ClientSession):
        return "must be an aiohttp.ClientSession, or None"
    if session.auth is not None:  # type: ignore[attr-defined]
        return "must not add credentials: it was created with auth="
    return None


def _ssl_problem(ssl_context: object) -> str | None:
    if ssl_context is None:
        return None
    import ssl  # noqa: PLC0415 - slow, and not needed by default

    # aiohttp accepts False for "do not verify"; here, only an explicit context can turn verification off.
    if not issubclass(type(ssl_context), ssl.SSLContext):
        return "must be an ssl.SSLContext, or None for the default verification"
    return None

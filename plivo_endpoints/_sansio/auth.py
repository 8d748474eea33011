"""The Authorization header, and the secrets in a proxy's URL."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from plivo_endpoints._config import Credentials, Secret


def authorization(credentials: Credentials) -> str:
    """Return the HTTP Basic header's value; never bind it to a name: tracebacks may show locals."""
    return "Basic " + _basic(credentials.auth_id, credentials.auth_token.reveal())


def account_secrets(credentials: Credentials) -> tuple[str, ...]:
    """Return the account's secrets that requests under way may carry: auth tokens, and as in the header."""
    known = credentials.auth_token.recent()
    return (*(_basic(credentials.auth_id, token) for token in known), *known)


def _basic(auth_id: str, auth_token: str) -> str:
    return b64encode(f"{auth_id}:{auth_token}".encode("ascii")).decode("ascii")


def proxy_secrets(proxy: Secret) -> tuple[str, ...]:
    """Return the secrets in a proxy's URL: the password, and the header made from it."""
    parts = urlsplit(proxy.reveal())
    if not parts.password:
        return ()
    login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return unquote(parts.password), b64encode(login.encode()).decode("ascii")

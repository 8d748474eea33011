"""The Authorization header, and the secrets in a proxy's URL."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from plivo_endpoints._config import Credentials, Secret


def authorization(credentials: Credentials) -> str:
    """Return the HTTP Basic header's value; never bind it to a name: tracebacks may show locals."""
    return "Basic " + b64encode(
        f"{credentials.auth_id}:{credentials.auth_token.reveal()}".encode("ascii")
    ).decode("ascii")


def proxy_secrets(proxy: Secret) -> tuple[str, ...]:
    """Return the secrets in a proxy's URL: the password, and the header made from it."""
    parts = urlsplit(proxy.reveal())
    if not parts.password:
        return ()
    login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return unquote(parts.password), b64encode(login.encode()).decode("ascii")

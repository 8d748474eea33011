"""Credentials to the Authorization header."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plivo_endpoints._config import Credentials


def authorization(credentials: Credentials) -> str:
    """Return the HTTP Basic header's value; never bind it to a name: tracebacks may show locals."""
    return "Basic " + b64encode(
        f"{credentials.auth_id}:{credentials.auth_token.reveal()}".encode("ascii")
    ).decode("ascii")

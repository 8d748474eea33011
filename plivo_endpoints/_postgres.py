"""What everything stored in PostgreSQL shares: the driver, and messages that contain no password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints._config import Secret
from plivo_endpoints._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final = ("postgresql://", "postgres://")
_CONNECT_TIMEOUT: Final = 10  # seconds
# Without these, a host that vanished would be noticed after two hours.
_KEEPALIVES_IDLE: Final = 10  # seconds of silence after which TCP asks whether the other side is there
_KEEPALIVES_INTERVAL: Final = 5  # seconds between two such questions
_TCP_USER_TIMEOUT: Final = 30_000  # milliseconds without an acknowledgement
_NOT_INSTALLED: Final = "needs psycopg: pip install 'plivo-endpoints[postgres]'"
_NOT_VALID: Final = (
    "is not the URL of a PostgreSQL database, such as postgresql://user:password@host/database, with special "
    "characters percent-encoded"
)
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/]*):[^@/]*(?=@)")  # as libpq reads it
_PASSWORD_PARAMETER: Final = re.compile(r"(?<=[?&])(?:ssl)?password=[^&]*&?")


def is_postgres_url(text: object) -> bool:
    """Whether a text is the URL of a PostgreSQL database."""
    return isinstance(text, str) and text.startswith(_SCHEMES)


def read_url(url: str | Secret, *, argument: str) -> dict[str, Any]:
    """Return the parameters for psycopg's `connect`.

    Raises:
        InvalidArgumentError: psycopg is not installed, or the URL is not valid; it is not quoted.
    """
    concealed = url if isinstance(url, Secret) else Secret(url)
    del url  # this frame is part of a traceback
    try:
        parameters = _parse(concealed)
    except ImportError:
        raise InvalidArgumentError(argument, _NOT_INSTALLED) from None
    if parameters is None:
        raise InvalidArgumentError(argument, _NOT_VALID)
    defaults = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "keepalives_idle": _KEEPALIVES_IDLE,
        "keepalives_interval": _KEEPALIVES_INTERVAL,
        "tcp_user_timeout": _TCP_USER_TIMEOUT,
    }
    return {**defaults, "application_name": "plivo-endpoints", **parameters}


def _parse(url: Secret) -> dict[str, Any] | None:
    from psycopg import Error  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parameters: dict[str, Any] = conninfo_to_dict(url.reveal())
    except (Error, UnicodeError):
        return None
    # If a password contains "@" or "/", libpq takes its rest for the host, port or database, and quotes that.
    ports = str(parameters.get("port", "")).split(",")
    is_cut = any("@" in str(parameters.get(part, "")) for part in ("host", "dbname"))
    return None if is_cut or not all(port.isdecimal() or not port for port in ports) else parameters


def name_database(parameters: Mapping[str, Any]) -> str:
    """Return a database as a URL without user and password."""
    place = ":".join(str(parameters[each]) for each in ("host", "port") if each in parameters)
    return f"postgresql://{place}/{parameters.get('dbname', '')}"


def remove_password(url: str) -> str:
    """Return a URL without its password, to be shown."""
    return _PASSWORD_PARAMETER.sub("", _PASSWORD.sub(r"\1", url))


def explain(error: Exception) -> str:
    """Return what went wrong, in one line."""
    diagnosis = getattr(error, "diag", None)
    text = getattr(diagnosis, "message_primary", None) or str(error) or type(error).__name__
    lines = [line.strip() for line in str(text).splitlines() if "Is the server running" not in line]
    return " ".join(lines)

"""What everything stored in PostgreSQL shares: the driver, and messages that contain no password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final = ("postgresql://", "postgres://")
_PATIENCE: Final = 10  # seconds that connecting may take
_NOT_INSTALLED: Final = "needs psycopg: pip install 'plivo-endpoints[postgres]'"


def is_postgres_url(text: object) -> bool:
    """Whether a text is the URL of a PostgreSQL database."""
    return isinstance(text, str) and text.startswith(_SCHEMES)


def read_url(url: str, *, argument: str) -> dict[str, Any]:
    """Return the parameters for psycopg's `connect`.

    Raises:
        InvalidArgumentError: psycopg is not installed, or the URL is not valid; it is not quoted.
    """
    try:
        from psycopg import Error  # noqa: PLC0415 - an extra
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    except ImportError:
        raise InvalidArgumentError(argument, _NOT_INSTALLED) from None
    try:
        parameters = conninfo_to_dict(url)
    except Error:
        raise InvalidArgumentError(argument, "is not the URL of a PostgreSQL database") from None
    # Without keepalives, a host that vanished would be noticed after two hours.
    defaults = {
        "connect_timeout": _PATIENCE,
        "keepalives_idle": _PATIENCE,
        "tcp_user_timeout": 3_000 * _PATIENCE,
    }
    return {**defaults, "application_name": "plivo-endpoints", **parameters}


def name_database(parameters: Mapping[str, Any]) -> str:
    """Return a database as a URL without user and password."""
    place = ":".join(str(parameters[each]) for each in ("host", "port") if each in parameters)
    return f"postgresql://{place}/{parameters.get('dbname', '')}"


def explain(error: Exception) -> str:
    """Return what went wrong, in one line."""
    diagnosis = getattr(error, "diag", None)
    text = getattr(diagnosis, "message_primary", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())

"""Plivo's documented rules for the fields of an endpoint.

Source: https://www.plivo.com/docs/voice/api/endpoints
"""

import re
from collections.abc import Callable, Mapping

from attrs import frozen

from plivo_endpoints.sandbox._json import Json, is_text

MIN_PASSWORD = 5
MAX_TEXT = 1000  # characters of a password, an alias, or a token's sub and app

_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,24}")
_STRICT_ALIAS = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TEXT}}}")
_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Rule = Callable[[Json], str | None]


@frozen(kw_only=True)
class Changes:
    """The fields of an update; `None` leaves a field unchanged."""

    password: str | None = None
    alias: str | None = None
    app_id: str | None = None


def creation_errors(body: Mapping[str, Json], *, strict_alias: bool) -> dict[str, list[str]]:
    """Return what is wrong with a create, by field."""
    rules = _change_rules(strict_alias=strict_alias) | {"username": _username_error}
    found = {
        field: "is required" if body.get(field) in (None, "") else rules[field](body[field])
        for field in ("username", "password", "alias")
    }
    if "app_id" in body:
        found["app_id"] = app_id_error(body["app_id"])
    return {field: [message] for field, message in found.items() if message}


def change_error(body: Mapping[str, Json], *, strict_alias: bool) -> str | None:
    """Return what is wrong with an update, or `None`.

    How Plivo responds to an update without fields is unknown. The sandbox rejects it, to expose programs that
    send one by mistake.
    """
    rules = _change_rules(strict_alias=strict_alias)
    given = [field for field in rules if field in body]
    if not given:
        return "one of password, alias and app_id is required"
    errors = (f"{field}: {message}" for field in given if (message := rules[field](body[field])))
    return next(errors, None)


def read_changes(body: Mapping[str, Json]) -> Changes:
    """Return the known fields of a body that `creation_errors` or `change_error` has checked."""
    return Changes(**{name: str(body[name]) for name in ("password", "alias", "app_id") if name in body})


def _change_rules(*, strict_alias: bool) -> dict[str, Rule]:
    alias = _strict_alias_error if strict_alias else _alias_error
    return {"password": _password_error, "alias": alias, "app_id": app_id_error}


def _username_error(value: Json) -> str | None:
    if isinstance(value, str) and _USERNAME.fullmatch(value):
        return None
    return "must be 1 to 25 letters and digits, the first a letter"


def _password_error(value: Json) -> str | None:
    if is_text(value) and MIN_PASSWORD <= len(str(value)) <= MAX_TEXT:
        return None
    return f"must be a string of {MIN_PASSWORD} to {MAX_TEXT} characters"


def _alias_error(value: Json) -> str | None:
    if is_text(value) and 1 <= len(str(value)) <= MAX_TEXT:
        return None
    return f"must be a string of 1 to {MAX_TEXT} characters"


def _strict_alias_error(value: Json) -> str | None:
    if isinstance(value, str) and _STRICT_ALIAS.fullmatch(value):
        return None
    return f"must be 1 to {MAX_TEXT} letters, digits, hyphens and underscores"


def app_id_error(value: Json) -> str | None:
    """Return what is wrong with an application's id, or `None`."""
    return None if isinstance(value, str) and _APP_ID.fullmatch(value) else "must be an application's id"

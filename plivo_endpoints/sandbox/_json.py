"""Strict reading of JSON requests, and JSON responses in Plivo's format."""

import json
import uuid
from collections.abc import Mapping
from typing import NoReturn, TypeAlias, cast

from aiohttp import web


class RefusedError(ValueError):
    """The request breaks a rule, which the message names; the response is a 400."""


Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def read_object(body: bytes, name: str = "the request body") -> dict[str, Json]:
    """Return the JSON object that `body` holds; errors call it `name`.

    Raises:
        RefusedError: `body` is not UTF-8, not JSON, nested too deep, or not an object.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedError(f"{name} must be valid JSON") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{name} must be a JSON object")
    return cast("dict[str, Json]", value)


def is_text(value: Json) -> bool:
    """Whether `value` is a string that can be encoded as UTF-8: JSON can contain lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    # Python accepts NaN and Infinity, which are not JSON.
    raise ValueError(name)


def answer(status: int, fields: Mapping[str, Json]) -> web.Response:
    """Return a JSON response with an `api_id`."""
    return _json_response(status, {"api_id": str(uuid.uuid4()), **fields})


def refuse(status: int, error: str, hint: str | None = None) -> web.Response:
    """Return an error response with a one-line message, and a hint that Plivo would not give."""
    return answer(status, {"error": error} if hint is None else {"error": error, "hint": hint})


def refuse_fields(errors: Mapping[str, list[str]]) -> web.Response:
    """Return the error response of a create: messages by field."""
    by_field: dict[str, Json] = {name: list(messages) for name, messages in errors.items()}
    return answer(400, {"error": by_field})


def refuse_caller(hint: str | None = None) -> web.Response:
    """Return a 401, which as on Plivo has no `api_id`."""
    error = {"error": "auth_id and auth_token are not valid for this account"}
    refusal = _json_response(401, error if hint is None else {**error, "hint": hint})
    refusal.headers["WWW-Authenticate"] = 'Basic realm="Plivo"'
    return refusal


def refuse_like(problem: web.HTTPException, hint: str | None = None) -> web.Response:
    """Return an error response of aiohttp, such as 404 or 405, in Plivo's format."""
    refusal = refuse(problem.status, problem.reason.lower(), hint)
    if "Allow" in problem.headers:
        refusal.headers["Allow"] = problem.headers["Allow"]
    return refusal


def _json_response(status: int, fields: Mapping[str, Json]) -> web.Response:
    return web.Response(status=status, body=json.dumps(fields).encode(), content_type="application/json")

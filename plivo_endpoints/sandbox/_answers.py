"""Responses in the shapes that Plivo uses."""

import json
import uuid
from collections.abc import Mapping

from aiohttp import web

from plivo_endpoints.sandbox._json import Json


def answer(status: int, fields: Mapping[str, Json]) -> web.Response:
    """Return a JSON response that carries an `api_id`."""
    return _json_response(status, {"api_id": str(uuid.uuid4()), **fields})


def refuse(status: int, error: str) -> web.Response:
    """Return an error in one line of text."""
    return answer(status, {"error": error})


def refuse_fields(errors: Mapping[str, list[str]]) -> web.Response:
    """Return the error of a create: messages by field."""
    by_field: dict[str, Json] = {name: list(messages) for name, messages in errors.items()}
    return answer(400, {"error": by_field})


def refuse_caller() -> web.Response:
    """Return a 401; as on Plivo it has no `api_id`."""
    refusal = _json_response(401, {"error": "auth_id and auth_token do not open this account"})
    refusal.headers["WWW-Authenticate"] = 'Basic realm="Plivo"'
    return refusal


def refuse_like(problem: web.HTTPException) -> web.Response:
    """Return what aiohttp decided, such as 404 or 405, in Plivo's shape."""
    refusal = refuse(problem.status, problem.reason.lower())
    if "Allow" in problem.headers:
        refusal.headers["Allow"] = problem.headers["Allow"]
    return refusal


def _json_response(status: int, fields: Mapping[str, Json]) -> web.Response:
    return web.Response(status=status, body=json.dumps(fields).encode(), content_type="application/json")

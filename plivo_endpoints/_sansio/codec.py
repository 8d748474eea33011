"""Models to requests, and responses to models or errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlencode

from plivo_endpoints import _errors as errors
from plivo_endpoints._sansio.converter import converter, dump_json
from plivo_endpoints._sansio.json_text import load_json
from plivo_endpoints._sansio.messages import Request, Response
from plivo_endpoints._sansio.redaction import sanitize
from plivo_endpoints._validation import ID, as_text, check_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from plivo_endpoints._request_models import RequestModel
    from plivo_endpoints._sansio.messages import Operation

T = TypeVar("T")

_OK: Final = int(HTTPStatus.OK)  # plain numbers: each access to a member of an enumeration is a call
_REDIRECTIONS: Final = int(HTTPStatus.MULTIPLE_CHOICES)
_ERRORS: Final[Mapping[int, type[errors.APIError]]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.BadRequestError,
    429: errors.RateLimitedError,
}
# What decoding a hostile body can raise; a bug of ours would raise something else.
_DECODING: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


def build_request(
    operation: Operation[Any],
    account_url: str,
    argument: RequestModel | None = None,
    query: Mapping[str, int | str] | None = None,
    ids: Mapping[str, str] | None = None,
) -> Request:
    """Return the request for an operation; `account_url` ends in the account's id and a slash."""
    path = operation.path
    if ids:
        for name, value in ids.items():
            check_id(name, value)
        path = path.format_map({name: as_text(value) for name, value in ids.items()})
    if argument is not None:
        argument.check()
    url = f"{account_url}{path}?{urlencode(query)}" if query else account_url + path
    body = None if argument is None else dump_json(argument)
    return Request(operation.method, url, operation.path, operation.name, body)


def parse_response(
    operation: Operation[T], response: Response, secrets: Callable[[], Iterable[str]] = tuple
) -> T:
    """Decode a success; raise `APIError` for other statuses, `ResponseDecodeError` if it is unreadable.

    `secrets` returns what an error must redact. It is a function, so that no frame holds them on a raise.
    """
    if not _OK <= response.status < _REDIRECTIONS:
        raise _api_error(operation, response, secrets())
    if operation.returns is type(None):
        # The response to a delete has no content of interest.
        return converter.structure(None, operation.returns)
    body: Any = None
    try:
        body = load_json(response.body)
        if response.complete:
            return converter.structure(body, operation.returns)
    except _DECODING as error:
        problem = _describe(response, error, secrets(), decoded=body is not None)
    else:
        problem = "its body is larger than max_body allows"
    endpoint_id = _readable_id(body)
    del body  # it may hold a token, and a traceback may show locals
    # Raised outside `except`, so that its context is no exception that holds the body.
    raise errors.ResponseDecodeError(
        problem,
        status=response.status,
        method=operation.method,
        path=operation.path,
        endpoint_id=endpoint_id,
    )


def _describe(response: Response, error: Exception, secrets: Iterable[str], *, decoded: bool) -> str:
    # The body of a success is never shown, except for a proxy's page: it may hold a token.
    if not response.complete:
        return "its body is larger than max_body allows"
    if decoded:
        return f"its body does not have the expected form ({sanitize(str(error), secrets)})"
    if response.encoding is not None:
        return _compressed(response.encoding, secrets)
    if not response.body:
        return "its body is empty"
    if response.body.lstrip().startswith(b"<"):
        return f"its body is HTML, not JSON: {_plain(response.body, secrets)}"
    return f"its body is not JSON ({len(response.body)} bytes)"


def _compressed(encoding: str, secrets: Iterable[str]) -> str:
    return f"its body is compressed ({sanitize(encoding, secrets)}) and cannot be read"


def _readable_id(body: object) -> str | None:
    found = cast("dict[str, object]", body).get("endpoint_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and ID.fullmatch(found) else None


def _api_error(operation: Operation[Any], response: Response, secrets: Iterable[str]) -> errors.APIError:
    message, api_id = _error_text(response, secrets)
    facts: dict[str, Any] = {
        "status": response.status,
        "api_id": api_id,
        "method": operation.method,
        "path": operation.path,
        "retry_after": response.retry_after,
    }
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.ServerError(message, **facts)
    return _ERRORS.get(response.status, errors.APIError)(message, **facts)


def _error_text(response: Response, secrets: Iterable[str]) -> tuple[str, str | None]:
    body = response.body
    try:
        content: object = load_json(body)
        if not isinstance(content, dict):
            return sanitize(_flatten(content), secrets), None
        fields = cast("dict[str, object]", content)
        text = _flatten(fields.get("error") or fields.get("message"))
    except (ValueError, RecursionError):
        if response.encoding is not None:
            return _compressed(response.encoding, secrets), None
        # Truncated JSON is not shown: it could be a model, with its secrets.
        return ("" if body.lstrip()[:1] in {b"{", b"["} else _plain(body, secrets)), None
    api_id = fields.get("api_id")
    return sanitize(text, secrets), sanitize(api_id, secrets) if isinstance(api_id, str) else None


def _flatten(error: object) -> str:
    """Return the text of an error in any of Plivo's forms, including a mapping of fields to messages."""
    if isinstance(error, dict):
        fields = cast("dict[str, object]", error)
        inner = fields.get("error") or fields.get("message")
        if inner is not None:
            return _flatten(inner)
        return "; ".join(f"{name}: {_flatten(text)}" for name, text in fields.items())
    if isinstance(error, list):
        return ", ".join(str(item) for item in cast("list[object]", error))
    return "" if error is None else str(error)


def _plain(body: bytes, secrets: Iterable[str]) -> str:
    # Not truncated: half a secret would not be recognised.
    return sanitize(" ".join(body.decode("utf-8", "replace").split()), secrets)

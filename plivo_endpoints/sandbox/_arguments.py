"""Strict reading of the JSON that controls the sandbox: in bodies, and in the header for a fault."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from plivo_endpoints.sandbox._faults import Fault
from plivo_endpoints.sandbox._json import Json, RefusedError, read_object

Types = Mapping[str, tuple[type, ...]]

NUMBER = (int, float)
_FAULT: Types = {
    "applied": (bool,),
    "status": (int,),
    "body": (str,),
    "content_type": (str,),
    "headers": (dict,),
    "latency": NUMBER,
    "drip": NUMBER,
    "truncate_at": (int,),
    "reset": (bool,),
}
FAULT_HEADER = "X-Sandbox-Fault"
_MAX_ERROR = 500  # characters


async def read_arguments(request: web.Request, types: Types) -> dict[str, Any]:
    """Return the fields of a request body that are not `null`.

    Raises:
        RefusedError: the body is not a JSON object, or a field is unknown or has the wrong type.
    """
    return _checked(read_object(await request.read()), types)


def read_fault(fields: Mapping[str, Json]) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: a field is unknown or has the wrong type, or the fields contradict each other.
    """
    known = _checked(fields, _FAULT)
    if "applied" not in known:
        raise RefusedError("fault: applied is required")
    if not all(isinstance(value, str) for value in known.get("headers", {}).values()):
        raise RefusedError("headers must map names to strings")
    return Fault(**known)


def read_fault_header(request: web.Request, *, control: bool) -> Fault | None:
    """Return the fault in the header of a request, or `None` without that header.

    Raises:
        RefusedError: the header does not describe a fault, or is not allowed: without an error, a test would
            pass without testing anything.
    """
    text = request.headers.get(FAULT_HEADER)
    if text is None:
        return None
    if not control:
        raise RefusedError(f"{FAULT_HEADER} needs a sandbox with --control, or Sandbox(control=True)")
    try:
        with refusing():
            return read_fault(read_object(text.encode("utf-8", "surrogateescape"), "the value"))
    except RefusedError as problem:
        raise RefusedError(f"{FAULT_HEADER}: {problem}") from None


@contextmanager
def refusing() -> Generator[None]:
    """Turn a broken rule into a 400; its message is cut, as it may quote as much as a request body."""
    try:
        yield
    except (ValueError, OverflowError) as problem:
        raise RefusedError(str(problem)[:_MAX_ERROR]) from None


def _checked(fields: Mapping[str, Json], types: Types) -> dict[str, Any]:
    """Return the fields that are not `null`, after checking names and types."""
    for name, value in fields.items():
        if name not in types:
            raise RefusedError(f"unknown field {name[:50]}: expected one of {', '.join(types)}")
        # True is an int in Python, but not in JSON.
        fits = isinstance(value, types[name]) and (bool in types[name] or not isinstance(value, bool))
        if value is not None and not fits:
            raise RefusedError(f"{name} must be of type {types[name][-1].__name__}")
    return {name: value for name, value in fields.items() if value is not None}

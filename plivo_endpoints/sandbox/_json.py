"""JSON as it arrives: whatever a program may send, read without surprises."""

import json
from typing import NoReturn, TypeAlias, cast

from plivo_endpoints.sandbox._refusal import RefusedError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def read_object(body: bytes) -> dict[str, Json]:
    """Return the JSON object that `body` holds.

    Raises:
        RefusedError: not UTF-8, not JSON, nested too deep to read, or not an object.
    """
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedError("the request body must be valid JSON") from None
    if not isinstance(value, dict):
        raise RefusedError("the request body must be a JSON object")
    return cast("dict[str, Json]", value)


def is_text(value: Json) -> bool:
    """Tell whether `value` is a string that UTF-8 can carry: JSON can spell lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    # Python reads NaN and Infinity, which are no JSON.
    raise ValueError(name)

"""JSON text to values and back, so that whatever an answer says can be written down again.

Some servers write what JSON does not have, or UTF-8 cannot hold: NaN, infinite numbers, half surrogate pairs.
No answer is lost to one of those, but none of them is passed on.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from typing import Final

# Escapes, told apart: a surrogate pair, half of one, any other.
_ESCAPE: Final = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")


def load_json(body: bytes) -> object:
    """Return what a text in UTF-8 says: `None` for no finite number, and U+FFFD for half a surrogate pair."""
    # The one encoding of JSON; `json.loads` would look for four others.
    text = str(body.removeprefix(BOM_UTF8), "utf-8")
    if "\\" in text:
        text = _ESCAPE.sub(_whole_character, text)
    return _decode(text)


def _whole_character(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape[1] else escape[0]


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _no_number(_: str) -> None:
    return None


_decode: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number).decode
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def encode_json(content: object) -> bytes:
    """Return a body; in ASCII, so that no string can fail to encode."""
    return _encode(content).encode("ascii")

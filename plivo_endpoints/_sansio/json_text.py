"""Decodes and encodes JSON, so that all that was decoded can be encoded again.

Some servers send what JSON does not have or UTF-8 cannot encode: NaN, infinities, lone surrogates. Such a
response is decoded all the same, but these values are replaced.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from typing import Final

# Escapes: a surrogate pair, a lone surrogate (the group), or any other.
_ESCAPE: Final = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")


def load_json(body: bytes) -> object:
    """Decode JSON in UTF-8; numbers that are not finite become `None`, lone surrogates U+FFFD."""
    # JSON is always UTF-8; `json.loads` would check for four other encodings.
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
    """Encode a body, in ASCII, so that no string can fail to encode."""
    return _encode(content).encode("ascii")

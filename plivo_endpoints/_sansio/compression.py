"""Decompresses bodies that some proxies compress although the request did not allow it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_GZIP: Final = 16 + zlib.MAX_WBITS
_WINDOWS: Final[Mapping[str, tuple[int, ...]]] = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (
        zlib.MAX_WBITS,
        -zlib.MAX_WBITS,
    ),  # with a zlib header, as in RFC 9110, and without, as some servers send it
}


def decompress(body: bytes, encoding: str, limit: int) -> tuple[bytes, bool] | None:
    """Return at most `limit` bytes of the content, and whether it is complete; `None` if unreadable.

    No more than `limit` + 1 bytes are ever decompressed.
    """
    for window in _WINDOWS.get(encoding.strip().lower(), ()):
        stream = zlib.decompressobj(window)
        try:
            content = stream.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(content) > limit:
            return content[:limit], False
        if stream.eof and not stream.unused_data:
            return content, True
    return None

"""Pages of a list, by offset, by cursor, or both.

Ids grow with time, so the list is always sorted and a page is a slice of it: a request costs the same with a
hundred thousand endpoints as with ten.
"""

import base64
import binascii
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from attrs import frozen

from plivo_endpoints.sandbox._json import Json, RefusedError
from plivo_endpoints.sandbox._settings import PageOrder, Pagination

MAX_LIMIT = 20
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_ENDPOINT_ID = re.compile(r"[0-9]{14}", re.ASCII)


@frozen(kw_only=True)
class PageRequest:
    """The page that a caller requests; `anchor` is the id in its cursor."""

    limit: int = MAX_LIMIT
    offset: int = 0
    anchor: str | None = None


@frozen(kw_only=True)
class Window:
    """The ids of a page, and what its links to the next and previous page need."""

    ids: tuple[str, ...]
    offset: int
    total: int
    next_anchor: str | None
    previous_anchor: str | None


def read_page_request(query: Mapping[str, str]) -> PageRequest:
    """Read `limit`, `offset` and `cursor`.

    An offset takes precedence over a cursor, as on Plivo's hybrid deployments: a walk that sends both stays
    on its first page.

    Raises:
        RefusedError: a value is not a number, out of range, or not a cursor of this sandbox.
    """
    limit = _number(query, "limit", MAX_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise RefusedError(f"limit must be between 1 and {MAX_LIMIT}")
    if "offset" in query or "cursor" not in query:
        return PageRequest(limit=limit, offset=_number(query, "offset", 0))
    return PageRequest(limit=limit, anchor=_anchor(query["cursor"]))


def cut_window(ids: Sequence[str], total: int, request: PageRequest, order: PageOrder) -> Window:
    """Return the requested page of the first `total` ids; `ids` are sorted, oldest first."""
    start = request.offset if request.anchor is None else _position(ids, total, request.anchor, order)
    end = start + request.limit
    before = max(0, start - request.limit)

    def at(first: int, last: int) -> tuple[str, ...]:
        if order == "oldest":
            return tuple(ids[first : min(last, total)])
        return tuple(reversed(ids[max(0, total - last) : max(0, total - first)]))

    return Window(
        ids=at(start, end),
        offset=start,
        total=total,
        next_anchor=at(end, end + 1)[0] if end < total else None,
        previous_anchor=at(before, before + 1)[0] if start > 0 and before < total else None,
    )


def page_meta(window: Window, limit: int, path: str, pagination: Pagination) -> dict[str, Json]:
    """Return the `meta` of a page; its links are relative URLs under `path`."""

    def link(offset: int, anchor: str) -> str:
        arguments: dict[str, str | int] = {"limit": limit}
        if pagination != "cursor":
            arguments["offset"] = offset
        if pagination != "offset":
            arguments["cursor"] = _cursor(anchor)
        return f"{path}?{urlencode(arguments)}"

    after, before = window.next_anchor, window.previous_anchor
    return {
        "limit": limit,
        "next": None if after is None else link(window.offset + limit, after),
        "offset": window.offset,
        "previous": None if before is None else link(max(0, window.offset - limit), before),
        "total_count": window.total,
    }


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not _NUMBER.fullmatch(value):
        raise RefusedError(f"{name} must be a non-negative integer")
    return int(value)


def _position(ids: Sequence[str], total: int, anchor: str, order: PageOrder) -> int:
    # By bisection, as the anchor's endpoint may have been deleted since.
    if order == "oldest":
        return bisect_left(ids, anchor, hi=total)
    return total - bisect_right(ids, anchor, hi=total)


def _cursor(anchor: str) -> str:
    return base64.urlsafe_b64encode(f"at:{anchor}".encode()).decode().rstrip("=")


def _anchor(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        kind, _, anchor = base64.urlsafe_b64decode(padded).decode("ascii").partition(":")
    except (UnicodeError, binascii.Error):
        kind, anchor = "", ""
    if kind != "at" or not _ENDPOINT_ID.fullmatch(anchor):
        raise RefusedError("cursor must come from a list's meta.next or meta.previous")
    return anchor

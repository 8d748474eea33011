"""A stranger's text, made fit to be shown: short, printable, and without the secrets that it may repeat."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT: Final = 200


def quoted(text: str, secrets: Iterable[str]) -> str:
    """Return a text that cannot steer a terminal or forge a log line, and tells no secret."""
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, "[secret]")
    kept = text[:_LIMIT]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)
    return kept[:_LIMIT]


def _forms(secret: str) -> list[str]:
    """Return how a server may write down what it was sent, the longest first."""
    forms = {secret, html.escape(secret), html.escape(secret, quote=False), repr(secret)[1:-1]}
    forms |= {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    forms |= {quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    forms |= {form.encode("ascii", "xmlcharrefreplace").decode("ascii") for form in forms}
    forms |= {form.replace("/", "\\/") for form in forms}
    forms |= {" ".join(form.split()) for form in forms}  # as the text of a page is
    return sorted(filter(None, forms), key=len, reverse=True)

"""Makes text from a server safe to show: short, printable and without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT: Final = 200


def sanitize(text: str, secrets: Iterable[str]) -> str:
    """Return text that cannot control a terminal or forge a log line, and contains no secret."""
    forms = set[str]().union(*map(_forms, secrets))
    for form in sorted(forms, key=len, reverse=True):  # one may be part of another
        text = text.replace(form, "[secret]")
    kept = text[:_LIMIT]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)
    return kept[:_LIMIT]


def _forms(secret: str) -> set[str]:
    """Return the common encodings in which a server may echo a secret."""
    import html  # noqa: PLC0415 - only an error needs it, and the first call should not wait for it

    page = html.escape(secret)
    forms = {secret, repr(secret)[1:-1], html.escape(secret, quote=False), page}
    forms |= {page.replace("&#x27;", "&#39;"), page.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}
    forms |= {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    forms |= {quote(secret, safe=safe) for safe in ("", "!'()*")} | {quote_plus(secret)}
    forms |= {form.encode("ascii", "xmlcharrefreplace").decode("ascii") for form in forms}
    forms |= {form.replace("/", "\\/") for form in forms}
    forms |= {" ".join(form.split()) for form in forms}  # as in the text of a page
    return forms - {""}

"""Keeping out other web sites, which a browser on this machine would let reach the sandbox.

A page may send requests anywhere, with credentials that the browser remembers; the Origin header names it.
With DNS rebinding it can read the answers too: its own domain then resolves to the sandbox's address, and
is the Host. So a request must come from no page or from our own, and go to a name that no web site can have.
"""

import ipaddress
import re
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from plivo_endpoints.sandbox._answers import refuse

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.ASCII)
# Set aside for private use: RFC 6761, RFC 6762, and ICANN's resolution on .internal.
_PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".test")
_HOST_RULE = (
    f"Host must be an address, a name without dots or below {', '.join(_PRIVATE_DOMAINS)}, "
    "or the name that the sandbox serves at"
)


def guarding(served_host: str) -> Middleware:
    """Refuse what a foreign page sends; `served_host` is the name or address that the sandbox serves at."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        # Every browser sends a Host.
        if host is not None and not _is_private(_host_name(host), served_host.lower()):
            return refuse(HTTPStatus.FORBIDDEN, _HOST_RULE)
        if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
            return refuse(HTTPStatus.FORBIDDEN, "requests of other web sites are refused")
        return await handler(request)

    return guard


def _host_name(host: str) -> str:
    # Not by way of request.url, which raises on some of what may stand in a Host header.
    match = _HOST.fullmatch(host.lower())
    return match[1] or match[2] if match else ""


def _is_private(name: str, served_host: str) -> bool:
    if not name:
        return False
    if name == served_host or "." not in name or name.endswith(_PRIVATE_DOMAINS):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

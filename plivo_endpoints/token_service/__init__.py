"""A token endpoint for the visitors of a web site, on aiohttp.web or as an ASGI app.

A hook of yours authorises the visitor and says who logs in and what for; the answer is a token that the
browser SDK logs in with. Tokens are kept and renewed, so most visitors cost no request to Plivo.
"""

from plivo_endpoints.token_service._aiohttp import aiohttp_handler
from plivo_endpoints.token_service._asgi import asgi_app
from plivo_endpoints.token_service._service import AccessDeniedError, Grant

__all__ = ["AccessDeniedError", "Grant", "aiohttp_handler", "asgi_app"]

"""A token endpoint for the visitors of a web site, on aiohttp.web or as an ASGI app.

An async function of yours authorises the visitor and says who logs in and what for; the response has a token
with which the browser SDK logs in. Tokens are cached, so most visitors cost no request to Plivo.
"""

from plivo_endpoints.token_service._aiohttp import aiohttp_handler
from plivo_endpoints.token_service._asgi import asgi_app
from plivo_endpoints.token_service._service import AccessDeniedError, Grant

__all__ = ["AccessDeniedError", "Grant", "aiohttp_handler", "asgi_app"]

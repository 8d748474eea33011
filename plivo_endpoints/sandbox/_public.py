"""What the sandbox serves to anyone, without credentials: its health, and a description of the API."""

from importlib.resources import files

from aiohttp import web

PUBLIC_PATHS = ("/_sandbox/health", "/_sandbox/openapi.json")


def add_public(app: web.Application) -> None:
    """Add the routes, which exist without `control` too."""
    health, description = PUBLIC_PATHS
    app.router.add_get(health, show_health, allow_head=False)
    app.router.add_get(description, show_description, allow_head=False)


async def show_health(_request: web.Request) -> web.Response:
    """Respond, which is all that a health check wants to know."""
    return web.json_response({"status": "ok"})


async def show_description(_request: web.Request) -> web.Response:
    """Return the OpenAPI document."""
    document = files("plivo_endpoints.sandbox").joinpath("openapi.json").read_bytes()
    return web.Response(body=document, content_type="application/json")

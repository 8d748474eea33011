"""The same service, but for a call at import: with `gunicorn --preload` it comes before the fork."""

from __future__ import annotations

from flask_endpoints import app, client

__all__ = ["app"]

client.endpoints.list_page(limit=1)

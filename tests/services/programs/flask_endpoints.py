"""A web service on Flask with a client of the whole module, made before the fork by `gunicorn --preload`."""

from __future__ import annotations

import os

from flask import Flask

from plivo_endpoints import Client, ClientStateError

app = Flask(__name__)
client = Client()


@app.post("/endpoints/<username>")
def create_endpoint(username: str) -> tuple[dict[str, str | int], int]:
    """Create an endpoint for a user."""
    try:
        made = client.endpoints.create(username=username, password="s3cret-enough", alias="front-desk")
    except ClientStateError as error:
        return {"error": str(error), "pid": os.getpid()}, 503
    return {"endpoint_id": made.endpoint_id, "pid": os.getpid()}, 201

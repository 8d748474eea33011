"""Tasks for Celery, with a client of the whole module and folders as the broker."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from plivo_endpoints import Client

FOLDER = Path(os.environ["CELERY_FOLDER"])

app = Celery(
    "celery_tasks",
    broker="filesystem://",
    backend=f"file://{FOLDER / 'results'}",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
    },
)
client = Client()


@app.task  # type: ignore[untyped-decorator]
def create_endpoint(username: str) -> str:
    """Create an endpoint for a user."""
    made = client.endpoints.create(username=username, password="s3cret-enough", alias="front-desk")
    return made.endpoint_id

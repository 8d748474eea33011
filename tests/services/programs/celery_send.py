"""Send tasks to the workers, and print what they return."""

from __future__ import annotations

import sys

from celery import group
from celery_tasks import create_endpoint

usernames = sys.argv[1:]
sent = group(create_endpoint.s(username) for username in usernames).apply_async()
for endpoint_id in sent.get(timeout=60):
    print(endpoint_id)

"""A sandbox in its own process, with faults and list lag, for the kill loop."""

from __future__ import annotations

import json
import sys
from typing import Any

from plivo_endpoints.sandbox import Fault, Sandbox

FAULTS = (
    Fault(applied=True, status=500),
    Fault(applied=False, status=500),
    Fault(applied=True, reset=True),
    Fault(applied=False, reset=True),
    Fault(applied=True, truncate_at=20),
    Fault(applied=True, status=200, body="<html>gateway</html>", content_type="text/html"),
    Fault(applied=False, status=502, body="<html>gateway</html>", content_type="text/html"),
    Fault(applied=True, latency=0.3),
)


def main(settings: dict[str, Any]) -> None:
    """Serve until the standard input ends."""
    with Sandbox(endpoints=settings["strangers"], control=True) as sandbox:
        sandbox.list_lag = settings["lag"]
        sandbox.quota = settings["quota"]
        for seed, fault in enumerate(FAULTS):
            sandbox.inject(fault, rate=settings["faults"] / len(FAULTS), seed=settings["seed"] + seed)
        known = {"url": sandbox.base_url, "auth_id": sandbox.auth_id, "auth_token": sandbox.auth_token}
        print(json.dumps(known), flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

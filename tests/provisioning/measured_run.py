"""A program that plans or applies a file and tells what memory that took; its argument is JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from plivo_endpoints import AsyncClient
from plivo_endpoints.provisioning import CsvSource
from plivo_endpoints.sandbox import Sandbox
from tests.provisioning.fleets import apply, plan


def peak() -> float:
    """Return the most memory that was resident so far, in MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


async def main(order: dict[str, Any]) -> None:
    """Do one thing, with everything imported and connected before."""
    source = CsvSource(order["csv"])
    async with AsyncClient(
        order["auth_id"], order["auth_token"], base_url=order["url"], rate_limit=None
    ) as client:
        await client.endpoints.list_page(limit=1)
        before, begun = peak(), time.monotonic()
        if order["state"] is None:
            await plan(client, source)
        else:
            async with apply(client, source, state=order["state"], settle=1.0) as run:
                async for _ in run:
                    pass
    print(json.dumps({"grown": peak() - before, "seconds": time.monotonic() - begun}))  # noqa: T201


def measure(folder: Path, count: int, *, applies: bool) -> dict[str, float]:
    """Plan, or apply, so many rows in a process of its own; return the MB it grew by, and the seconds."""
    csv, state = folder / "users.csv", folder / "run.db" if applies else None
    with csv.open("w") as file:
        print("username,alias,password", file=file)
        for number in range(count):
            print(f"user{number}x,row-{number},secret-{number}", file=file)
    with Sandbox() as sandbox:
        order = {
            "csv": str(csv),
            "state": state and str(state),
            "url": sandbox.base_url,
            "auth_id": sandbox.auth_id,
            "auth_token": sandbox.auth_token,
        }
        command = [sys.executable, "-m", "tests.provisioning.measured_run", json.dumps(order)]
        told = subprocess.run(  # noqa: S603
            command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2]
        )
        assert len(sandbox.endpoints) == (count if applies else 0)
    figures: dict[str, float] = json.loads(told.stdout)
    return figures


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

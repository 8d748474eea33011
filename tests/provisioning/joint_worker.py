"""A program that takes part in a run that several processes share, while it is killed and stopped.

Its one argument is JSON: the account, the files, the database, and the options of `apply`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from plivo_endpoints import AsyncClient, PostgresRateLimit, RateLimit
from plivo_endpoints.provisioning import AsyncFleet, PostgresState
from plivo_endpoints.provisioning._state import _leases


async def main(order: dict[str, Any]) -> None:
    """Take part until the run has ended, and print its report."""
    _leases.LEASE = order["lease"]  # type: ignore[misc]
    limit: RateLimit | PostgresRateLimit = RateLimit(100, 5.0)
    if order["limited"]:
        limit = PostgresRateLimit(order["database"], processes=order["processes"])
    async with AsyncClient(
        order["auth_id"], order["auth_token"], base_url=order["url"], rate_limit=limit
    ) as client:
        fleet = AsyncFleet(client, PostgresState(order["database"]))
        async with fleet.apply(order["csv"], settle=order["settle"], **order["options"]) as run:
            print("begun", flush=True)  # noqa: T201
            async for _ in run:
                pass
        report = run.report
    print(json.dumps({"status": report.exit_status, "counts": report.counts}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

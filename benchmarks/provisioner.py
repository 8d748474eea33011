"""Creates an endpoint for each row of a file: `python -m benchmarks.provisioner PEER URL CSV`.

Prints the CPU seconds per row of this process, including all of its threads.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.canned import AUTH_ID, AUTH_TOKEN, ROOT
from benchmarks.peers import OURS, UNHURRIED
from benchmarks.servers import pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

CONCURRENCY: Final = 32


async def _provision(url: str, path: Path) -> int:
    from plivo_endpoints import AsyncClient, RateLimit
    from plivo_endpoints.provisioning import AsyncFleet

    limit = RateLimit(*UNHURRIED)
    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=limit) as client:
        state = path.with_suffix(f".{time.monotonic_ns()}.db")
        async with AsyncFleet(client, state).apply(path, concurrency=CONCURRENCY) as run:
            return len([outcome async for outcome in run if outcome.status == "created"])


async def _create_bare(url: str, path: Path) -> int:
    import aiohttp

    headers = {"Authorization": aiohttp.encode_basic_auth(AUTH_ID, AUTH_TOKEN)}
    with path.open(newline="") as file:
        rows = iter(csv.DictReader(file))
        async with aiohttp.ClientSession(headers=headers) as session:
            return sum(await asyncio.gather(*[_take_rows(session, url, rows) for _ in range(CONCURRENCY)]))


async def _take_rows(session: aiohttp.ClientSession, url: str, rows: Iterator[dict[str, str]]) -> int:
    made = 0
    for row in rows:
        body = {"username": row["username"], "password": row["password"], "alias": row["alias"]}
        async with session.request("POST", url + ROOT, json=body) as response:
            await response.json()
        made += 1
    return made


def main() -> None:
    """Create the endpoints and print the cost per row."""
    peer, url, path = sys.argv[1:]
    pin(0, 0)
    begun = time.process_time()
    made = asyncio.run((_provision if peer == OURS else _create_bare)(url, Path(path)))
    print(json.dumps((time.process_time() - begun) / made))


if __name__ == "__main__":
    main()

"""Walks a list in a fresh process: `python -m benchmarks.walker PEER URL PREFETCH STEP`.

Prints the seconds it took, and resident and peak memory in MB after the first page and every STEP endpoints.
The peak is VmHWM, because a child's `ru_maxrss` starts at its parent's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.canned import AUTH_ID, AUTH_TOKEN, PAGE_SIZE
from benchmarks.peers import OURS
from benchmarks.servers import pin

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS: Final = Path("/proc/self/status")


class Memory:
    """Memory during a walk, sampled every `step` endpoints."""

    def __init__(self, step: int) -> None:
        self.resident: list[float] = []
        self.peaks: list[float] = []
        self._step = step
        self._seen = 0

    def note(self) -> None:
        """Count an endpoint."""
        self._seen += 1
        if self._seen == PAGE_SIZE or self._seen % self._step == 0:
            self.sample()

    def sample(self) -> None:
        """Read both figures, if there is a /proc."""
        if _STATUS.exists():
            lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
            self.resident.append(int(lines["VmRSS"].split()[0]) / 1024)
            self.peaks.append(int(lines["VmHWM"].split()[0]) / 1024)


async def _walk_ours(url: str, prefetch: int, note: Callable[[], None]) -> None:
    from plivo_endpoints import AsyncClient, RateLimit

    limit = RateLimit(1_000_000, 0.05)
    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=limit) as client:
        async for _ in client.endpoints.list(prefetch=prefetch):
            note()


def _walk_sdk(url: str, note: Callable[[], None]) -> None:
    import plivo
    from plivo.rest import client as module

    module.API_VOICE_BASE_URI = f"{url}/v1/Account"
    with plivo.RestClient(AUTH_ID, AUTH_TOKEN) as client:
        endpoints: Any = client.endpoints
        for _ in endpoints:
            note()


def main() -> None:
    """Walk the list and print the measurements."""
    peer, url, prefetch, step = sys.argv[1:]
    pin(0, 0)
    memory = Memory(int(step))
    begun = time.perf_counter()
    if peer == OURS:
        asyncio.run(_walk_ours(url, int(prefetch), memory.note))
    else:
        _walk_sdk(url, memory.note)
    seconds = time.perf_counter() - begun
    memory.sample()
    result = {"seconds": [seconds], "resident": memory.resident, "peaks": memory.peaks}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

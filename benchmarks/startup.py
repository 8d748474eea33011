"""Rows about fresh processes: import, and the first call."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks.canned import AUTH_ID, AUTH_TOKEN, ENDPOINT_ID
from benchmarks.peers import AIOHTTP, HTTPX, OURS, OURS_BLOCKING, REQUESTS, SDK
from benchmarks.servers import canned_server, pin

if TYPE_CHECKING:
    from benchmarks.rounds import Measured, Scale

# The extra `speed` makes startup slower: these rows are those of a plain installation.
_PLAIN: Final = "import sys; sys.modules.update(uvloop=None)\n"
_IMPORTS: Final = {
    OURS: "import plivo_endpoints",
    f"{OURS}, its client": "from plivo_endpoints import AsyncClient",
    SDK: "import plivo",
    AIOHTTP: "import aiohttp",
    HTTPX: "import httpx",
    REQUESTS: "import requests",
}
_FIRST_CALLS: Final = {
    OURS_BLOCKING: f"""
from plivo_endpoints import Client
with Client({AUTH_ID!r}, {AUTH_TOKEN!r}, base_url=URL) as client:
    client.endpoints.get({ENDPOINT_ID!r})
""",
    OURS: f"""
import asyncio
from plivo_endpoints import AsyncClient
async def main():
    async with AsyncClient({AUTH_ID!r}, {AUTH_TOKEN!r}, base_url=URL) as client:
        await client.endpoints.get({ENDPOINT_ID!r})
asyncio.run(main())
""",
    SDK: f"""
import plivo
from plivo.rest import client
client.API_VOICE_BASE_URI = URL + "/v1/Account"
plivo.RestClient({AUTH_ID!r}, {AUTH_TOKEN!r}).endpoints.get({ENDPOINT_ID!r})
""",
}


def imports(scale: Scale) -> Measured:
    """CPU seconds of an import, without those of bare Python."""
    measured: dict[str, list[float]] = {peer: [] for peer in _IMPORTS}
    for _ in range(2 * scale.rounds + 1):
        bare = _run("")[0]
        for peer, script in _IMPORTS.items():
            measured[peer].append(_run(script)[0] - bare)
    return {"import": measured}


def first_calls(scale: Scale) -> Measured:
    """Wall seconds of a process that makes one call, including imports."""
    measured: dict[str, list[float]] = {peer: [] for peer in _FIRST_CALLS}
    with canned_server() as url:
        for _ in range(2 * scale.rounds + 1):
            for peer, script in _FIRST_CALLS.items():
                measured[peer].append(_run(f"URL = {url!r}\n{script}")[1])
    return {"first-call": measured}


def _run(script: str) -> tuple[float, float]:
    """Run a script and return its CPU and wall seconds."""
    begun = time.perf_counter()
    process_id = os.posix_spawn(sys.executable, [sys.executable, "-c", _PLAIN + script], os.environ)
    pin(process_id, 0)
    _, status, usage = os.wait4(process_id, 0)  # the only way to get one child's CPU time to the microsecond
    if status:
        raise RuntimeError("a benchmark's script failed")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun

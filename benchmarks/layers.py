"""CPU per call, split into our layers, 50 calls in flight: `python -m benchmarks.layers URL ROUNDS COUNT`.

Layers are measured in real calls: alone in a tight loop, their code and data stay in the processor's caches
and cost only a third. So the same call is made with one more layer at a time, in turns, and a layer's share
is what it adds.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.canned import AUTH_ID, AUTH_TOKEN, ENDPOINT_ID
from benchmarks.peers import AIOHTTP, NEW, SDK, UNHURRIED
from benchmarks.rounds import Measured, Order, Scale, column, interleave
from benchmarks.servers import canned_server, pin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from plivo_endpoints import AsyncClient
    from plivo_endpoints._sansio.messages import Operation, Request

OPERATIONS: Final = ("get", "create", "page")
LAYERS: Final = (
    "transport, aiohttp, the loop",
    "ask: check and encode",
    "answer: decode into a model",
    "policies: timeout, retries, rate limit, events",
)
_IN_FLIGHT: Final = 50


def layers(scale: Scale) -> Measured:
    """CPU of each of our layers, and of naive aiohttp's and the SDK's whole calls."""
    measured: Measured = {}
    with canned_server() as url:
        for operation in OPERATIONS:
            order = Order(operation, _IN_FLIGHT, {AIOHTTP: 2000, SDK: 600})
            measured[f"cpu-{operation}"] = column(interleave(url, order, scale), "cpu")
        arguments = [url, str(3 * scale.rounds), str(scale.of(1000))]
        command = [sys.executable, "-m", "benchmarks.layers", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)  # noqa: S603
    own: Measured = json.loads(done.stdout)
    return measured | own


async def _measure(url: str, rounds: int, count: int) -> Measured:
    from plivo_endpoints import AsyncClient, RateLimit

    limit = RateLimit(*UNHURRIED)
    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=limit) as client:
        await client.endpoints.get(ENDPOINT_ID)
        return {f"layers-{name}": await _split(_towers(client)[name], rounds, count) for name in OPERATIONS}


async def _split(
    tower: tuple[Callable[[], Awaitable[object]], ...], rounds: int, count: int
) -> dict[str, list[float]]:
    added: dict[str, list[float]] = {layer: [] for layer in LAYERS}
    for call in tower:
        await _seconds(call, 2 * _IN_FLIGHT)
    for _ in range(rounds):
        below = 0.0
        for layer, call in zip(LAYERS, tower, strict=True):
            seconds = await _seconds(call, count)
            added[layer].append(seconds - below)
            below = seconds
    return added


def _towers(client: AsyncClient) -> dict[str, tuple[Callable[[], Awaitable[object]], ...]]:
    """Return calls for each operation, each with one more layer; the last is the complete call."""
    from plivo_endpoints._request_models import NewEndpoint
    from plivo_endpoints._resources.endpoints import CREATE, GET, LIST
    from plivo_endpoints._sansio.codec import build_request

    url = client._connections.account_url  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    query, ids = {"limit": 20, "offset": 0}, {"endpoint_id": ENDPOINT_ID}
    return {
        "get": (
            *_lower(client, GET, lambda: build_request(GET, url, ids=ids)),
            lambda: client.endpoints.get(ENDPOINT_ID),
        ),
        "create": (
            *_lower(client, CREATE, lambda: build_request(CREATE, url, NewEndpoint(**NEW))),
            lambda: client.endpoints.create(**NEW),
        ),
        "page": (
            *_lower(client, LIST, lambda: build_request(LIST, url, query=query)),
            client.endpoints.list_page,
        ),
    }


def _lower(
    client: AsyncClient, operation: Operation[Any], ask: Callable[[], Request]
) -> tuple[Callable[[], Awaitable[object]], ...]:
    from plivo_endpoints._sansio.codec import parse_response
    from plivo_endpoints._sansio.messages import Attempt

    loops = client._connections._loops  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    transport = loops[asyncio.get_running_loop()].transport
    ready = ask()

    async def send() -> object:
        return await transport.send(ready, Attempt())

    async def ask_and_send() -> object:
        return await transport.send(ask(), Attempt())

    async def without_policies() -> object:
        return parse_response(operation, await transport.send(ask(), Attempt()))

    return send, ask_and_send, without_policies


async def _seconds(call: Callable[[], Awaitable[object]], count: int) -> float:
    begun = time.process_time()
    left = iter(range(count))
    await asyncio.gather(*[_take_turns(call, left) for _ in range(_IN_FLIGHT)])
    return (time.process_time() - begun) / count


async def _take_turns(call: Callable[[], Awaitable[object]], turns: Iterator[int]) -> None:
    for _ in turns:
        await call()


if __name__ == "__main__":
    pin(0, 0)
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
    split = asyncio.run(_measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps(split))

"""CPU per call, split into our layers: `python -m benchmarks.layers` measures its own.

Each layer is a value or a function, so each is measured alone: what a call asks is made and encoded; the
policies send it to a transport that answers at once; the answer is decoded. What a whole call costs beyond
that is the transport's, aiohttp's above all, and the facade's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.canned import AUTH_ID, CREATED, ENDPOINT_ID, FOUND, PAGE
from benchmarks.peers import AIOHTTP, NEW, OURS, SDK, UNHURRIED
from benchmarks.rounds import Measured, Order, Scale, column, interleave
from benchmarks.servers import canned_server, pin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OPERATIONS: Final = ("get", "create", "page")
_ROUNDS: Final = 7
_CALLS: Final = 2000
_ACCOUNT_URL: Final = f"https://api.plivo.com/v1/Account/{AUTH_ID}/"


def layers(scale: Scale) -> Measured:
    """CPU of whole calls, one after the other, and of our own layers in them."""
    measured: Measured = {}
    with canned_server() as url:
        for operation in OPERATIONS:
            order = Order(operation, 1, {OURS: 1000, AIOHTTP: 1000, SDK: 500})
            measured[f"cpu-{operation}"] = column(interleave(url, order, scale), "cpu")
    command = [sys.executable, "-m", "benchmarks.layers"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)  # noqa: S603
    own: Measured = json.loads(told.stdout)
    return measured | own


async def _measure() -> Measured:
    from plivo_endpoints._sansio.codec import parse_response
    from plivo_endpoints._sansio.messages import Response

    measured: Measured = {}
    for name, body in zip(OPERATIONS, (FOUND, CREATED, PAGE), strict=True):
        operation, make = _requests()[name]
        answer = Response(200, body)
        encode = _seconds(make)
        decode = _seconds(partial(parse_response, operation, answer))
        whole = await _seconds_awaited(_policies(answer, operation, make()))
        measured[f"layers-{name}"] = {
            "ask: check and encode": encode,
            "policies: timeout, retries, rate limit, events": [
                max(0.0, both - one) for both, one in zip(whole, decode, strict=True)
            ],
            "answer: decode into a model": decode,
        }
    return measured


def _requests() -> dict[str, tuple[Any, Callable[[], Any]]]:
    from plivo_endpoints._models import NewEndpoint
    from plivo_endpoints._resources.endpoints import CREATE, GET, LIST
    from plivo_endpoints._sansio.codec import build_request

    query, ids = {"limit": 20, "offset": 0}, {"endpoint_id": ENDPOINT_ID}
    return {
        "get": (GET, lambda: build_request(GET, _ACCOUNT_URL, ids=ids)),
        "create": (CREATE, lambda: build_request(CREATE, _ACCOUNT_URL, NewEndpoint(**NEW))),
        "page": (LIST, lambda: build_request(LIST, _ACCOUNT_URL, query=query)),
    }


def _policies(answer: Any, operation: Any, request: Any) -> Callable[[], Awaitable[object]]:
    from plivo_endpoints._config import CallOptions, RateLimit
    from plivo_endpoints._events import Observer
    from plivo_endpoints._middleware import Retrying, rate_limited
    from plivo_endpoints._sansio.call import Call
    from plivo_endpoints._sansio.rate_limit import SlidingWindow
    from plivo_endpoints._sansio.retry import RetryBudget, RetryPolicy

    async def send(_request: Any, attempt: Any) -> Any:
        attempt.sent = True
        return answer

    window = SlidingWindow(RateLimit(*UNHURRIED))
    retrying = Retrying(
        rate_limited(send, window),
        window=window,
        budget=RetryBudget(),
        observer=Observer(None),
        policy=RetryPolicy(),
    )
    options = CallOptions(timeout=30.0, max_attempts=3)
    return lambda: retrying.execute(Call(operation, request, None, options))


def _seconds(function: Callable[[], object]) -> list[float]:
    seconds: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        for _ in range(_CALLS):
            function()
        seconds.append((time.process_time() - begun) / _CALLS)
    return seconds


async def _seconds_awaited(function: Callable[[], Awaitable[object]]) -> list[float]:
    seconds: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        for _ in range(_CALLS):
            await function()
        seconds.append((time.process_time() - begun) / _CALLS)
    return seconds


if __name__ == "__main__":
    pin(0, 0)
    for hidden in ("orjson", "uvloop"):
        sys.modules[hidden] = None  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
    print(json.dumps(asyncio.run(_measure())))  # noqa: T201 - to the parent

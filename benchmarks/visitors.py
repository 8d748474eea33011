"""Visitors who ask for tokens: `python -m benchmarks.visitors [visitors] [names] [seconds]`.

They come evenly, in random order, and are served by one client with its default rate limit, from a sandbox in
another process. Prints how many tokens were requested, what visitors waited for a cached and for a new token,
and how a cached token compares with one that is created for each visitor.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from http import HTTPStatus
from typing import Final

from benchmarks.canned import AUTH_ID, AUTH_TOKEN
from plivo_endpoints import AsyncClient, AttemptFinished, Event

_MILLISECONDS: Final = 1000
_ROUNDS: Final = 5
_CALLS: Final = 200  # of each kind in each round


class Waits:
    """Counts requests and refusals, and keeps what visitors waited, in seconds."""

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0
        self.served: set[str] = set()  # names that have a cached token
        self.for_cached: list[float] = []
        self.for_new: list[float] = []

    def note(self, event: Event) -> None:
        """Note an event of the client."""
        if isinstance(event, AttemptFinished):
            self.requests += 1
            self.refused += event.status == HTTPStatus.TOO_MANY_REQUESTS

    async def visit(self, client: AsyncClient, sub: str, at: float) -> None:
        """Ask for a token at a visitor's time."""
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        waits, begun = self.for_cached if sub in self.served else self.for_new, time.perf_counter()
        await client.tokens.cached(sub=sub, outgoing_allow=True)
        waits.append(time.perf_counter() - begun)
        self.served.add(sub)


def _show(name: str, waits: list[float]) -> None:
    waits.sort()
    figures = {"median": waits[len(waits) // 2], "p99": waits[int(len(waits) * 0.99)], "most": waits[-1]}
    shown = ", ".join(f"{label} {seconds * _MILLISECONDS:.3f} ms" for label, seconds in figures.items())
    print(f"{name}: {len(waits)}, {shown}")


async def _visitors(url: str, visitors: int, names: int, seconds: int) -> None:
    waits = Waits()
    subs = [f"user{number % names}" for number in range(visitors)]
    random.Random(1).shuffle(subs)  # noqa: S311 - repeatable on purpose
    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, timeout=60.0, on_event=waits.note) as client:
        begun = time.perf_counter()
        times = (begun + number * seconds / visitors for number in range(visitors))
        await asyncio.gather(*(waits.visit(client, sub, at) for sub, at in zip(subs, times, strict=True)))
    print(f"{visitors} visitors of {names} names in {seconds} s: ", end="")
    print(f"{waits.requests} requests, {waits.refused} refused with 429")
    _show("who got a cached token", waits.for_cached)
    _show("who waited for a new one", waits.for_new)


async def _ratio(url: str) -> None:
    async with AsyncClient(AUTH_ID, AUTH_TOKEN, base_url=url, rate_limit=None) as client:
        times = {"create": 0.0, "cached": 0.0}
        for _ in range(_ROUNDS):
            for name, call in (("create", client.tokens.create), ("cached", client.tokens.cached)):
                begun = time.process_time()
                for _ in range(_CALLS):
                    await call(sub="alice", outgoing_allow=True)
                times[name] += time.process_time() - begun
    print(f"CPU of a cached token, against one that is created: {times['cached'] / times['create']:.4f}")


async def _run(url: str, visitors: int, names: int, seconds: int) -> None:
    await _visitors(url, visitors, names, seconds)
    await _ratio(url)


def main(visitors: int = 10_000, names: int = 1_000, seconds: int = 10) -> None:
    """Start the sandbox, let the visitors come, and print what they waited."""
    with subprocess.Popen(
        (sys.executable, "-m", "benchmarks.account"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as account:
        assert account.stdin is not None  # noqa: S101 - a pipe
        assert account.stdout is not None  # noqa: S101 - a pipe
        try:
            asyncio.run(_run(account.stdout.readline().strip(), visitors, names, seconds))
        finally:
            account.stdin.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

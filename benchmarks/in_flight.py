"""Rows about concurrent calls and about blocking calls."""

from __future__ import annotations

from typing import Final

from benchmarks.peers import (
    AIOHTTP,
    HTTPX,
    HTTPX_BLOCKING,
    OURS,
    OURS_BLOCKING,
    OURS_BLOCKING_FAST,
    OURS_FAST,
    REQUESTS,
    SDK,
)
from benchmarks.rounds import Measured, Order, Scale, column, interleave
from benchmarks.servers import canned_server, raw_server

CONCURRENCIES: Final = (1, 2, 5, 10, 20, 50, 100)


def creates(scale: Scale) -> Measured:
    """CPU per create with 50 in flight, on nginx and on a raw asyncio server."""
    counts = {OURS: 1000, OURS_FAST: 1000, AIOHTTP: 1000, HTTPX: 200, REQUESTS: 300, SDK: 300}
    # Many short rounds: load of other processes may last a second, and must not affect only one contender.
    measured: Measured = {}
    for row, server in (("create-50", canned_server), ("create-50-raw", raw_server)):
        with server() as url:
            answers = interleave(url, Order("create", 50, counts), Scale(4 * scale.rounds, scale.share))
        measured[row] = column(answers, "cpu")
    return measured


def blocking_gets(scale: Scale) -> Measured:
    """CPU per blocking get."""
    counts = {OURS_BLOCKING: 1500, OURS_BLOCKING_FAST: 1500, HTTPX_BLOCKING: 800, REQUESTS: 800, SDK: 800}
    with canned_server() as url:
        answers = interleave(url, Order("get", 1, counts), scale)
    return {"blocking-get": column(answers, "cpu")}


def threads(scale: Scale) -> Measured:
    """CPU per blocking get of 8 threads on one client."""
    counts = {OURS_BLOCKING: 3000, OURS_BLOCKING_FAST: 3000, SDK: 1600}
    with canned_server() as url:
        answers = interleave(url, Order("get", 8, counts), scale)
    return {"threads-8": column(answers, "cpu")}


def sweep(scale: Scale) -> Measured:
    """Latency of a get, and calls per second, by concurrency."""
    counts = {OURS: 1500, OURS_FAST: 1500, AIOHTTP: 1500, HTTPX: 400, SDK: 400}
    measured: Measured = {}
    with canned_server() as url:
        for in_flight in CONCURRENCIES:
            answers = interleave(url, Order("get", in_flight, counts), scale)
            measured[f"latency-{in_flight}"] = column(answers, "median")
            measured[f"latency-p99-{in_flight}"] = column(answers, "p99")
            seconds = column(answers, "wall")
            measured[f"rate-{in_flight}"] = {
                peer: [1 / value for value in values] for peer, values in seconds.items()
            }
    return measured

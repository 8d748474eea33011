"""Rows that count function calls, and the row that decodes a page."""

from __future__ import annotations

from benchmarks.peers import AIOHTTP, OURS, OURS_BLOCKING, OURS_BLOCKING_FAST, SDK
from benchmarks.rounds import Measured, Order, Scale, Worker, column, interleave
from benchmarks.servers import canned_server


def function_calls(scale: Scale) -> Measured:
    """Function calls of one warm get, create and page, including those of C functions."""
    measured: Measured = {f"calls-{operation}": {} for operation in ("get", "create", "page")}
    with canned_server() as url:
        for peer in (OURS, AIOHTTP, SDK):
            with Worker(peer, url) as worker:
                for operation in ("get", "create", "page"):
                    worker.ask(operation, 20)
                    counts = [worker.ask(operation, 0)["calls"] for _ in range(scale.rounds)]
                    measured[f"calls-{operation}"][peer] = counts
    return measured


def decoding(scale: Scale) -> Measured:
    """CPU to decode a page of 20; a contender needs a server, but sends it nothing."""
    counts = {OURS_BLOCKING: 3000, OURS_BLOCKING_FAST: 3000, SDK: 3000}
    with canned_server() as url:
        answers = interleave(url, Order("decode", 1, counts), scale)
    return {"decode": column(answers, "cpu")}

"""What OpenTelemetry costs: CPU time and function calls of a client's call, relative to one without a hook.

Run it with `python -m benchmarks.telemetry`, with the extra `test`. The variants take turns within one run,
so that noise meets them alike. The sandbox has a thread of its own, which is not counted. "no SDK" is the API
alone, whose tracer and meter do nothing. "SDK" records every span and metric; spans are handed in batches to
an exporter that drops them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracerProvider

from plivo_endpoints import AsyncClient
from plivo_endpoints.opentelemetry import OpenTelemetry
from plivo_endpoints.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from opentelemetry.sdk.trace import ReadableSpan

ROUNDS: Final = 60
CALLS: Final = 50  # in each round of a variant


class Dropping(SpanExporter):
    """Exports nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        """Drop the spans."""
        return SpanExportResult.SUCCESS


async def cpu_time(client: AsyncClient, endpoint: str) -> float:
    """Return the seconds of this thread that a call takes."""
    began = time.thread_time()
    for _ in range(CALLS):
        await client.endpoints.get(endpoint)
    return (time.thread_time() - began) / CALLS


async def function_calls(client: AsyncClient, endpoint: str) -> int:
    """Count the functions, those of C too, that a call enters in this thread."""
    entered = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal entered
        entered += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        await client.endpoints.get(endpoint)
    finally:
        sys.setprofile(None)
    return entered


async def measure(sandbox: Sandbox, hooks: dict[str, OpenTelemetry | None]) -> None:
    """Print a line for each variant."""
    times: dict[str, list[float]] = {name: [] for name in hooks}
    counts: dict[str, list[int]] = {name: [] for name in hooks}
    (endpoint,) = sandbox.endpoints
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(
                AsyncClient(
                    sandbox.auth_id,
                    sandbox.auth_token,
                    base_url=sandbox.base_url,
                    rate_limit=None,
                    on_event=hook,
                )
            )
            for name, hook in hooks.items()
        }
        for _ in range(ROUNDS):
            for name, client in clients.items():
                times[name].append(await cpu_time(client, endpoint))
                counts[name].append(await function_calls(client, endpoint))
    for name in hooks:
        report(name, times[name], times["off"], min(counts[name]), min(counts["off"]))


def report(name: str, times: list[float], base_times: list[float], calls: int, base_calls: int) -> None:
    """Print the figures of a variant; the ratio is the median of those of the rounds."""
    ratio = statistics.median(mine / base for mine, base in zip(times, base_times, strict=True))
    median = statistics.median(times) * 1e6
    print(f"{name:9} {median:4.0f} µs, {ratio:.2f}; {calls} calls, {calls / base_calls:.2f}")


def main() -> None:
    """Measure all variants."""
    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracers.add_span_processor(BatchSpanProcessor(Dropping()))
    hooks = {
        "off": None,
        "off again": None,
        "no SDK": OpenTelemetry(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider()),
        "SDK": OpenTelemetry(tracer_provider=tracers, meter_provider=meters),
    }
    with Sandbox(endpoints=1) as sandbox:
        asyncio.run(measure(sandbox, hooks))
    tracers.shutdown()
    meters.shutdown()


if __name__ == "__main__":
    main()

"""Traces and metrics with OpenTelemetry: names, parents, attributes, and nothing that identifies anybody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import suppress
from contextvars import Context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span

from plivo_endpoints import (
    AsyncClient,
    CallFinished,
    CallStarted,
    Client,
    NotFoundError,
    OutcomeUnknownError,
    PlivoError,
    RateLimit,
    RequestTimeoutError,
)
from plivo_endpoints.opentelemetry import OpenTelemetry
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

GET: Final = "GET /v1/Account/{auth_id}/Endpoint/{endpoint_id}/"
NEW: Final = {"username": "canaryname", "password": "CanaryPassw0rd", "alias": "canary-alias"}


class Telemetry:
    """The hook, with exporters that keep everything in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.hook = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def tracer(self) -> Tracer:
        """The tracer of the program that uses the client."""
        return self.tracers.get_tracer("program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.spans]

    def attributes(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of the spans with this name."""
        return [dict(span.attributes or {}) for span in self.spans if span.name == name]

    def parents(self) -> dict[str, str | None]:
        """Return the name of each span's parent; of several with one name, the last counts."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return {span.name: names.get(span.parent.span_id) if span.parent else None for span in self.spans}

    def points(self) -> dict[str, list[NumberDataPoint | HistogramDataPoint]]:
        """Return the points of all metrics that have any, by name."""
        collected = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)  # type: ignore[arg-type]  # no exponential histograms
            for resource in (collected.resource_metrics if collected else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def counted(self) -> dict[str, float]:
        """Return the sum of each metric: of values, or the number of measurements of a histogram."""
        return {
            name: sum(
                point.count if isinstance(point, HistogramDataPoint) else point.value for point in points
            )
            for name, points in self.points().items()
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Give a hook and what it recorded."""
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def connect(sandbox: Sandbox, telemetry: Telemetry, **options: Any) -> AsyncClient:
    """Return a client with the hook."""
    options = {"base_url": sandbox.base_url, "on_event": telemetry.hook, **options}
    return AsyncClient(sandbox.auth_id, sandbox.auth_token, **options)


def seeded(sandbox: Sandbox, count: int) -> list[str]:
    """Let the sandbox have so many endpoints, and return their ids."""
    sandbox.seed(count)
    return list(sandbox.endpoints)


async def test_a_call(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Its span is a child of the caller's, and its attempt is a child that follows the HTTP conventions."""
    (endpoint,) = seeded(sandbox, 1)
    with telemetry.tracer.start_as_current_span("caller"):
        async with connect(sandbox, telemetry) as client:
            await client.endpoints.get(endpoint)
    assert [GET, "endpoints.get", "caller"] == telemetry.names
    assert {GET: "endpoints.get", "endpoints.get": "caller", "caller": None} == telemetry.parents()
    attempt, call, _ = telemetry.spans
    assert (SpanKind.CLIENT, SpanKind.INTERNAL) == (attempt.kind, call.kind)
    assert (StatusCode.UNSET, StatusCode.UNSET) == (attempt.status.status_code, call.status.status_code)
    (ours,) = telemetry.attributes(GET)
    assert ours.pop("plivo.waited") < 1
    assert {
        "http.request.method": "GET",
        "url.template": "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/",
        "url.full": f"{sandbox.base_url}/v1/Account/REDACTED/Endpoint/REDACTED/",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.base_url.rsplit(":", 1)[1]),
        "http.response.status_code": 200,
        "plivo.outcome": "done",
        "plivo.sent": True,
    } == ours
    (whole,) = telemetry.attributes("endpoints.get")
    assert ("endpoints.get", 1) == (whole["plivo.operation"], whole["plivo.attempts"])


async def test_retries(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each attempt says how often the request was sent before, and why it failed."""
    (endpoint,) = seeded(sandbox, 1)
    sandbox.inject(Fault(status=503, applied=False), times=1)
    sandbox.inject(Fault(reset=True, applied=True), times=1)
    async with connect(sandbox, telemetry) as client:
        await client.endpoints.get(endpoint)
    names = ("http.request.resend_count", "http.response.status_code", "error.type", "plivo.outcome")
    assert [
        (None, 503, "503", "ambiguous"),
        (1, None, "ambiguous", "ambiguous"),
        (2, 200, None, "done"),
    ] == [tuple(each.get(name) for name in names) for each in telemetry.attributes(GET)]
    statuses = [span.status.status_code for span in telemetry.spans]
    assert [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET] == statuses
    counted = telemetry.counted()
    assert (3, 1, 2) == tuple(
        counted[name]
        for name in ("http.client.request.duration", "plivo.client.call.duration", "plivo.client.retries")
    )
    assert 500 - 2 * 14 == counted["plivo.client.retry_budget"]


async def test_metrics(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """They have the buckets and attributes of the conventions, and no ids."""
    async with connect(sandbox, telemetry) as client:
        with suppress(NotFoundError):
            await client.endpoints.get("10000000000009")
    points = telemetry.points()
    assert {
        "http.client.request.duration",
        "plivo.client.call.duration",
        "plivo.client.wait.duration",
        "plivo.client.retry_budget",
    } == set(points)
    (attempt,) = points["http.client.request.duration"]
    assert isinstance(attempt, HistogramDataPoint)
    advised = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert advised == tuple(attempt.explicit_bounds)
    assert {
        "http.request.method": "GET",
        "url.template": "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.base_url.rsplit(":", 1)[1]),
        "http.response.status_code": 404,
        "error.type": "404",
    } == dict(attempt.attributes or {})
    (call,) = points["plivo.client.call.duration"]
    assert {"plivo.operation": "endpoints.get", "error.type": "NotFoundError"} == dict(call.attributes or {})


async def test_a_lost_create(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Its span says that the outcome is unknown, and a counter counts it."""
    sandbox.inject(Fault(applied=True, reset=True), times=1)
    async with connect(sandbox, telemetry) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.endpoints.create(**NEW)
    (call,) = telemetry.attributes("endpoints.create")
    assert (True, "OutcomeUnknownError", "response") == (
        call["plivo.outcome_unknown"],
        call["error.type"],
        call["plivo.phase"],
    )
    assert 1 == telemetry.counted()["plivo.client.unknown_outcomes"]


async def test_a_call_that_the_rate_limit_refuses(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """It has no attempt, and its wait is measured."""
    async with connect(sandbox, telemetry, rate_limit=RateLimit(1, 60.0), timeout=0.5) as client:
        await client.endpoints.list_page()
        with pytest.raises(RequestTimeoutError):
            await client.endpoints.list_page()
    failed = telemetry.attributes("endpoints.list")[-1]
    assert (0, "rate limit", "RequestTimeoutError") == (
        failed["plivo.attempts"],
        failed["plivo.phase"],
        failed["error.type"],
    )
    counted = telemetry.counted()
    assert (1, 2) == (counted["http.client.request.duration"], counted["plivo.client.wait.duration"])


async def test_concurrent_calls(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each is a child of the span of its own task, also for several clients with one hook."""
    ids = seeded(sandbox, 6)

    async def read(client: AsyncClient, endpoint: str) -> int:
        with telemetry.tracer.start_as_current_span("task") as span:
            await client.endpoints.get(endpoint)
            assert span is get_current_span()
        return span.get_span_context().span_id

    async with connect(sandbox, telemetry) as one, connect(sandbox, telemetry) as other:
        tasks = await asyncio.gather(*(read(one if n % 2 else other, each) for n, each in enumerate(ids)))
    calls = [span for span in telemetry.spans if span.name == "endpoints.get"]
    assert sorted(tasks) == sorted(span.parent.span_id for span in calls if span.parent)
    assert get_current_span() is INVALID_SPAN


async def test_a_list_read_in_advance(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Every page is a child of the span in which the list is read, also if the reader leaves early."""
    sandbox.seed(5)
    async with connect(sandbox, telemetry) as client:
        with telemetry.tracer.start_as_current_span("reader") as reader:
            async for _ in client.endpoints.list(page_size=1, prefetch=2):
                break
    pages = [span for span in telemetry.spans if span.name.startswith("endpoints.list")]
    assert pages
    assert {reader.get_span_context().span_id} == {span.parent.span_id for span in pages if span.parent}
    assert all(span.parent for span in pages)


async def test_a_cancelled_call(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Call and attempt end with it; the caller's span stays the current one."""
    sandbox.inject(Fault(latency=30.0, applied=True), times=1)
    async with connect(sandbox, telemetry) as client:
        with telemetry.tracer.start_as_current_span("caller") as caller:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.endpoints.create(**NEW)
            assert caller is get_current_span()
    attempt, call, _ = telemetry.spans
    assert ("cancelled", "CancelledError", True) == tuple(
        (span.attributes or {})[name]
        for span, name in (
            (attempt, "error.type"),
            (call, "error.type"),
            (call, "plivo.outcome_unknown"),
        )
    )


def test_a_call_that_ends_in_another_context(telemetry: Telemetry) -> None:
    """As one does that is dropped unfinished; its events find its spans, and not those of another call."""
    first: dict[str, Any] = {
        "call": 1,
        "operation": "endpoints.get",
        "method": "GET",
        "path": "Endpoint/{endpoint_id}/",
    }
    second: dict[str, Any] = {**first, "call": 2, "operation": "endpoints.update"}
    ended: dict[str, Any] = {
        "attempts": 0,
        "phase": "connect",
        "outcome_unknown": False,
        "waited": 0.0,
        "seconds": 0.1,
    }
    for which in (first, second):
        telemetry.hook(CallStarted(**which, url="https://h/v1/Account/{auth_id}/Endpoint/{endpoint_id}/"))
    finished = CallFinished(**first, **ended, error="GeneratorExit", retry_budget=500.0)
    Context().run(telemetry.hook, finished)
    assert ["endpoints.get"] == telemetry.names


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=pytest.mark.slow)])
def test_threads_and_the_blocking_client(threaded_sandbox: Sandbox, telemetry: Telemetry, loop: str) -> None:
    """The caller's span is the parent although the call runs in another thread."""
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    box, ids = threaded_sandbox, seeded(threaded_sandbox, 4)
    parents: list[int] = []

    def read(endpoint: str) -> None:
        with telemetry.tracer.start_as_current_span("thread") as span:
            client.endpoints.get(endpoint)
            assert span is get_current_span()
        parents.append(span.get_span_context().span_id)

    options: dict[str, Any] = {"on_event": telemetry.hook, "loop_factory": factory}
    with Client(box.auth_id, box.auth_token, base_url=box.base_url, **options) as client:
        threads = [threading.Thread(target=read, args=[each]) for each in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    calls = [span for span in telemetry.spans if span.name == "endpoints.get"]
    assert 4 == len(parents)
    assert sorted(parents) == sorted(span.parent.span_id for span in calls if span.parent)


async def test_nothing_identifies_anybody(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """No secret, account, endpoint, username or alias is in any span or metric, whatever fails."""
    made: list[str] = []
    async with connect(sandbox, telemetry, max_attempts=1) as client:
        for fault in (
            None,
            Fault(status=500, applied=True),
            Fault(status=400, applied=False),
            Fault(status=200, applied=False, body="?"),
        ):
            if fault is not None:
                sandbox.inject(fault, times=1, method="POST")
            with suppress(PlivoError):
                made.append((await client.endpoints.create(**NEW)).endpoint_id)
            with suppress(PlivoError):
                await client.endpoints.update(made[0], alias="canary-alias", password="CanaryPassw0rd")
            token = await client.tokens.create(
                sub="canaryname", outgoing_allow=True, lifetime=timedelta(hours=1)
            )
            await anext(aiter(client.endpoints.list(alias="canary-alias")))
        await client.endpoints.delete(made[0])
    shown = "\n".join(span.to_json() for span in telemetry.spans)
    collected = telemetry.reader.get_metrics_data()
    shown += collected.to_json() if collected else ""
    assert len(telemetry.spans) > 20
    secrets = (sandbox.auth_id, sandbox.auth_token, *made, "anary", token.jwt[:20], "Basic")
    assert [] == [secret for secret in secrets if secret in shown]


@pytest.mark.slow
def test_the_client_alone_imports_no_opentelemetry() -> None:
    """Neither the package nor a call without the hook."""
    source = """
import sys
import plivo_endpoints.provisioning
from plivo_endpoints import Client, ConnectError
try:
    Client("MA0123456789ABCDEFGH", "token", base_url="http://127.0.0.1:9").endpoints.list_page()
except ConnectError:
    pass
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", source], check=True)  # noqa: S603


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    for name in [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "plivo_endpoints.opentelemetry")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'plivo-endpoints\[otel\]'"):
        __import__("plivo_endpoints.opentelemetry")

"""Spans and metrics, as an exporter of OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from attrs import frozen
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from plivo_endpoints import (
    AsyncClient,
    Client,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    RequestTimeoutError,
)
from plivo_endpoints.opentelemetry import OpenTelemetry
from plivo_endpoints.provisioning import AsyncFleet
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

LIST: Final = "/v1/Account/{auth_id}/Endpoint/"
ONE: Final = "/v1/Account/{auth_id}/Endpoint/{endpoint_id}/"
NEW: Final = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


@frozen
class Telemetry:
    """A hook, and what was exported."""

    hook: OpenTelemetry
    tracer_provider: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in the order of their ends."""
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """Return the only span of a name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def metrics(self) -> dict[str, list[Any]]:
        """Return the points of each metric."""
        read = self.reader.get_metrics_data()
        assert read is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in read.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Telemetry:
    """Give a hook with providers of its own."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    meter_provider = MeterProvider([reader])
    hook = OpenTelemetry(tracer_provider=tracer_provider, meter_provider=meter_provider)
    return Telemetry(hook, tracer_provider, exporter, reader)


def connect(sandbox: Sandbox, telemetry: Telemetry, **options: Any) -> AsyncClient:
    """Return a client of a sandbox that reports to a hook."""
    account: dict[str, Any] = {
        "auth_id": sandbox.auth_id,
        "auth_token": sandbox.auth_token,
        "base_url": sandbox.base_url,
    }
    account |= {"rate_limit": None, "on_event": telemetry.hook}
    return AsyncClient(**(account | options))


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def port_of(sandbox: Sandbox) -> int | None:
    """Return the port that a sandbox serves."""
    return urlsplit(sandbox.base_url).port


async def test_a_call_that_succeeds(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """A span for the call, and a child for its attempt as the conventions for HTTP clients have it."""
    async with connect(sandbox, telemetry) as client:
        await client.endpoints.create(**NEW)
    attempt, call = telemetry.spans
    assert ("endpoints.create", SpanKind.INTERNAL, None) == (call.name, call.kind, parent_of(call))
    assert {
        "plivo_endpoints.attempts": 1,
        "plivo_endpoints.waited": 0.0,
        "plivo_endpoints.outcome_unknown": False,
    } == dict(call.attributes or {}) | {"plivo_endpoints.waited": 0.0}
    assert (f"POST {LIST}", SpanKind.CLIENT, id_of(call)) == (attempt.name, attempt.kind, parent_of(attempt))
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": port_of(sandbox),
        "url.template": LIST,
        "url.full": f"{sandbox.base_url}/v1/Account/REDACTED/Endpoint/",
        "plivo_endpoints.waited": 0.0,
        "plivo_endpoints.sent": True,
    } == dict(attempt.attributes or {}) | {"plivo_endpoints.waited": 0.0}
    assert [StatusCode.UNSET] * 2 == [attempt.status.status_code, call.status.status_code]


async def test_attempts_that_fail(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each has its status and the number of those before it; the call succeeds."""
    sandbox.inject(Fault(applied=False, status=503))
    sandbox.inject(Fault(applied=False, reset=True))
    async with connect(sandbox, telemetry) as client:
        await client.endpoints.list_page()
    *attempts, call = telemetry.spans
    seen = [dict(attempt.attributes or {}) for attempt in attempts]
    assert [503, None, 200] == [each.get("http.response.status_code") for each in seen]
    assert ["503", "ambiguous", None] == [each.get("error.type") for each in seen]
    assert [None, 1, 2] == [each.get("http.request.resend_count") for each in seen]
    assert [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET] == [
        attempt.status.status_code for attempt in attempts
    ]
    assert [id_of(call)] * 3 == [parent_of(attempt) for attempt in attempts]
    assert StatusCode.UNSET is call.status.status_code
    assert 3 == (call.attributes or {})["plivo_endpoints.attempts"]


async def test_a_call_that_fails(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The error's class is its type."""
    async with connect(sandbox, telemetry) as client:
        with pytest.raises(NotFoundError):
            await client.endpoints.get("4711")
    attempt, call = telemetry.spans
    assert f"GET {ONE}" == attempt.name
    assert ("404", "NotFoundError") == tuple(
        (span.attributes or {})["error.type"] for span in (attempt, call)
    )
    assert [StatusCode.ERROR] * 2 == [attempt.status.status_code, call.status.status_code]


async def test_an_unknown_outcome(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """The span and a counter show it."""
    sandbox.inject(Fault(applied=True, reset=True), method="POST")
    async with connect(sandbox, telemetry) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.endpoints.create(**NEW)
    attributes = dict(telemetry.named("endpoints.create").attributes or {})
    assert (True, "response") == (
        attributes["plivo_endpoints.outcome_unknown"],
        attributes["plivo_endpoints.phase"],
    )
    (point,) = telemetry.metrics()["plivo_endpoints.outcome_unknown"]
    assert (1, {"plivo_endpoints.operation": "endpoints.create"}) == (point.value, point.attributes)


async def test_a_call_that_is_cancelled(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Both spans end, and nothing stays current."""
    sandbox.inject(Fault(applied=True, latency=3600))
    async with connect(sandbox, telemetry) as client:
        call = asyncio.create_task(client.endpoints.get("1"))
        while not sandbox.requests and not call.done():
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.wait({call})
        assert not get_current_span().get_span_context().is_valid
    assert ["cancelled", "CancelledError"] == [
        (span.attributes or {})["error.type"] for span in telemetry.spans
    ]


async def test_a_call_that_the_rate_limit_refuses(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """It has no attempt, and says where it ended."""
    async with connect(sandbox, telemetry, rate_limit=RateLimit(1, 3600.0), timeout=0.5) as client:
        await client.endpoints.list_page()
        telemetry.exporter.clear()
        with pytest.raises(RequestTimeoutError):
            await client.endpoints.list_page()
    (call,) = telemetry.spans
    assert ("rate limit", 0) == (
        (call.attributes or {})["plivo_endpoints.phase"],
        (call.attributes or {})["plivo_endpoints.attempts"],
    )


async def test_parents(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Calls of concurrent tasks belong to the spans of those tasks; afterwards those are current again."""
    tracer = telemetry.tracer_provider.get_tracer("service")

    async def visit(number: int) -> None:
        with tracer.start_as_current_span(f"visit {number}") as visited:
            await client.endpoints.list_page()
            assert visited is get_current_span()

    async with connect(sandbox, telemetry) as client:
        await asyncio.gather(*(visit(number) for number in range(10)))
    visits = {id_of(span) for span in telemetry.spans if span.name.startswith("visit")}
    assert visits == {parent_of(span) for span in telemetry.spans if span.name == "endpoints.list"}


def test_the_blocking_client(threaded_sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Its calls belong to the spans of the threads that make them."""
    tracer = telemetry.tracer_provider.get_tracer("service")

    def visit(number: int) -> None:
        with tracer.start_as_current_span(f"visit {number}"):
            client.endpoints.list_page()

    account = (threaded_sandbox.auth_id, threaded_sandbox.auth_token)
    with Client(*account, base_url=threaded_sandbox.base_url, on_event=telemetry.hook) as client:
        threads = [threading.Thread(target=visit, args=[number]) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    visits = {id_of(span) for span in telemetry.spans if span.name.startswith("visit")}
    assert 5 == len(visits)
    assert visits == {parent_of(span) for span in telemetry.spans if span.name == "endpoints.list"}


async def test_metrics(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Durations of attempts and calls, waits, and what is left of the budget for retries."""
    sandbox.inject(Fault(applied=False, status=503))
    async with connect(sandbox, telemetry) as client:
        await client.endpoints.list_page()
    points = telemetry.metrics()
    server = {"server.address": "127.0.0.1", "server.port": port_of(sandbox)}
    common = {**server, "http.request.method": "GET", "url.template": LIST}
    assert [
        common | {"http.response.status_code": 503, "error.type": "503"},
        common | {"http.response.status_code": 200},
    ] == [point.attributes for point in points["http.client.request.duration"]]
    assert 0.005 == points["http.client.request.duration"][0].explicit_bounds[0]
    operation = {"plivo_endpoints.operation": "endpoints.list"}
    for name in ("plivo_endpoints.call.duration", "plivo_endpoints.call.wait.duration"):
        assert [(operation, 1)] == [(point.attributes, point.count) for point in points[name]]
    assert [0.972] == [point.value for point in points["plivo_endpoints.retry_budget"]]
    assert "plivo_endpoints.outcome_unknown" not in points


async def test_a_provisioning_run(sandbox: Sandbox, telemetry: Telemetry, tmp_path: Path) -> None:
    """A span with a child for each phase, which the calls of that phase belong to."""
    rows = [{"username": f"ext{number}", "alias": "desk", "password": "s3cret"} for number in range(3)]
    async with connect(sandbox, telemetry) as client:
        fleet = AsyncFleet(client, tmp_path / "fleet.db")
        async with fleet.apply(rows, settle=1.0) as run:
            pass
    assert 3 == run.report.counts["created"]
    spans = {id_of(span): span for span in telemetry.spans}
    ended = telemetry.named("provisioning.run")
    phases = [span.name for span in telemetry.spans if parent_of(span) == id_of(ended)]
    assert ["planning", "canary", "creating", "auditing"] == [
        name.removeprefix("provisioning.")
        for name in dict.fromkeys(phases)
        if name != "provisioning.updating"
    ]
    assert 3 == (ended.attributes or {})["plivo_endpoints.rows.created"]
    creates = [span for span in telemetry.spans if span.name == "endpoints.create"]
    parents = {spans[parent_of(span) or 0].name for span in creates}
    assert {"provisioning.canary", "provisioning.creating"} == parents


async def test_a_run_that_stops(sandbox: Sandbox, telemetry: Telemetry, tmp_path: Path) -> None:
    """Its span and that of its phase have the error."""
    row = {"username": "ext1", "alias": "desk", "password": "s3cret"}
    async with connect(sandbox, telemetry, auth_token="wrong-token-of-the-account") as client:
        with pytest.raises(Exception, match="401"):
            async with AsyncFleet(client, tmp_path / "fleet.db").apply([row]):
                pass
    names = ("provisioning.planning", "provisioning.run")
    errors = [(telemetry.named(name).attributes or {})["error.type"] for name in names]
    assert ["AuthenticationError"] * 2 == errors


async def test_no_secret_and_no_id(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Neither in spans nor in metrics, whatever the calls are and whether they succeed."""
    async with connect(sandbox, telemetry) as client:
        made = await client.endpoints.create(**NEW)
        await client.endpoints.update(made.endpoint_id, password="an0ther", alias="lobby-7")
        token = await client.tokens.create(sub=made.username, outgoing_allow=True)
        sandbox.inject(Fault(applied=False, status=400, body='{"error": "no s3cret"}'))
        with pytest.raises(Exception, match="400"):
            await client.endpoints.create(**NEW)
        await client.endpoints.delete(made.endpoint_id)
    exported = "".join(span.to_json() for span in telemetry.spans) + str(telemetry.metrics())
    secrets = (sandbox.auth_token, "s3cret", "an0ther", token.jwt)
    ids = (sandbox.auth_id, made.endpoint_id, made.username, "alice", "front-desk", "lobby-7", made.api_id)
    assert [] == [word for word in (*secrets, *ids) if word and word in exported]
    assert "REDACTED" in exported


@pytest.mark.slow
def test_without_the_extra() -> None:
    """The error says what to install; the client does not need it."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from plivo_endpoints import AsyncClient\n"
        "AsyncClient('MA0123456789ABCDEFGH', 'token')\n"
        "import plivo_endpoints.opentelemetry\n"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.stderr.endswith("ImportError: needs OpenTelemetry: pip install 'plivo-endpoints[otel]'\n")

"""What a run reports to the client's hook, and its spans."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from plivo_endpoints import (
    AsyncClient,
    Client,
    Event,
    RunFinished,
    RunPhaseStarted,
    RunStarted,
)
from plivo_endpoints.opentelemetry import OpenTelemetry
from plivo_endpoints.provisioning import AsyncFleet, Fleet, PostgresState, RefusedError, Row
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.postgres import PostgresServer

ROWS = [Row(username=f"canaryname{n}x", alias=f"canary-{n}", password=f"Canary-pass-{n}") for n in range(5)]


class Spans:
    """A hook for traces, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._meters = MeterProvider()
        self.hook = OpenTelemetry(tracer_provider=self.provider, meter_provider=self._meters)

    @property
    def ended(self) -> list[ReadableSpan]:
        """In the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return those with a name."""
        return [span for span in self.ended if span.name == name]

    def parents_of(self, name: str) -> set[str | None]:
        """Return the names of the parents of those with a name."""
        names = {span.context.span_id: span.name for span in self.ended if span.context}
        return {names.get(span.parent.span_id) if span.parent else None for span in self.named(name)}

    def close(self) -> None:
        """Shut the providers down."""
        self.provider.shutdown()
        self._meters.shutdown()


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Give a hook and the spans."""
    made = Spans()
    yield made
    made.close()


def connect(sandbox: Sandbox, hook: Callable[[Event], None]) -> AsyncClient:
    """Return a client with a hook."""
    return AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=None, on_event=hook
    )


async def test_the_events_of_a_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its start, its phases and its end with the counts, around its calls."""
    events: list[Event] = []
    async with (
        connect(sandbox, events.append) as client,
        AsyncFleet(client, tmp_path / "run.db").apply(ROWS) as run,
    ):
        outcomes = [outcome async for outcome in run]
    assert 5 == len(outcomes)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    phases = [event.phase for event in events if isinstance(event, RunPhaseStarted)]
    assert ["planning", "canary", "creating", "auditing"] == phases
    assert (None, 5, dict(run.report.counts)) == (
        events[-1].error,
        events[-1].counts["created"],
        events[-1].counts,
    )
    runs = {event.run for event in events if isinstance(event, RunStarted | RunPhaseStarted | RunFinished)}
    assert 1 == len(runs)


async def test_the_spans_of_a_run(sandbox: Sandbox, spans: Spans, tmp_path: Path) -> None:
    """Phases are children of the run, calls of their phase; the caller's span stays the current one."""
    with spans.provider.get_tracer("program").start_as_current_span("caller") as caller:
        async with connect(sandbox, spans.hook) as client:
            async with AsyncFleet(client, tmp_path / "run.db").apply(ROWS) as run:
                async for _ in run:
                    assert caller is get_current_span()
            await client.endpoints.list_page()
    assert {"caller"} == spans.parents_of("provisioning.apply")
    assert {
        "provisioning.planning",
        "provisioning.canary",
        "provisioning.auditing",
        "caller",
    } == spans.parents_of("endpoints.list")
    phases = ("planning", "canary", "creating", "auditing")
    assert [1] * 4 == [len(spans.named(f"provisioning.{phase}")) for phase in phases]
    for phase in phases:
        assert {"provisioning.apply"} == spans.parents_of(f"provisioning.{phase}")
    assert {"provisioning.canary", "provisioning.creating"} == spans.parents_of("endpoints.create")
    (whole,) = spans.named("provisioning.apply")
    assert (5, 0) == tuple(
        (whole.attributes or {})[f"plivo.provisioning.rows.{status}"] for status in ("created", "failed")
    )
    shown = "".join(span.to_json() for span in spans.ended)
    secrets = (sandbox.auth_id, sandbox.auth_token, "anary-", "anaryname", *sandbox.endpoints)
    assert [] == [secret for secret in secrets if secret in shown]


async def test_a_run_that_fails(sandbox: Sandbox, spans: Spans, tmp_path: Path) -> None:
    """The run and the phase in which it failed have the error; nothing is left open."""
    sandbox.inject(Fault(status=400, applied=False), rate=1.0, method="POST")
    async with connect(sandbox, spans.hook) as client:
        with pytest.raises(RefusedError):
            async with AsyncFleet(client, tmp_path / "run.db").apply(ROWS, max_failures=2):
                pass
    errors = {
        span.name: (span.attributes or {}).get("error.type")
        for span in spans.ended
        if span.name.startswith("provisioning") and span.status.status_code is StatusCode.ERROR
    }
    assert {"provisioning.canary": "RefusedError", "provisioning.apply": "RefusedError"} == errors


def test_a_run_of_the_blocking_client(threaded_sandbox: Sandbox, spans: Spans, tmp_path: Path) -> None:
    """It is a child of the caller's span too."""
    box = threaded_sandbox
    tracer = spans.provider.get_tracer("program")
    client = Client(box.auth_id, box.auth_token, base_url=box.base_url, rate_limit=None, on_event=spans.hook)
    with (
        client,
        tracer.start_as_current_span("caller"),
        Fleet(client, tmp_path / "run.db").apply(ROWS) as run,
    ):
        assert 5 == len(list(run))
    assert {"caller"} == spans.parents_of("provisioning.apply")
    assert {"provisioning.auditing"} <= spans.parents_of("endpoints.list")


@pytest.mark.slow
async def test_a_run_of_several_processes(sandbox: Sandbox, postgres: PostgresServer) -> None:
    """Each has a run of its own, whose creates are children of it."""
    url, hooks = postgres.new_database(), [Spans(), Spans()]

    async def take_part(spans: Spans) -> None:
        async with connect(sandbox, spans.hook) as client:
            fleet = AsyncFleet(client, PostgresState(url), master_key="a master key of the tests")
            async with fleet.apply(ROWS, settle=0.2):
                pass

    await asyncio.gather(*map(take_part, hooks))
    for spans in hooks:
        assert [1, True] == [
            len(spans.named("provisioning.apply")),
            "provisioning.waiting" in {span.name for span in spans.ended},
        ]
        assert spans.parents_of("endpoints.create") <= {"provisioning.canary", "provisioning.creating"}
        spans.close()
    assert 5 == sum(len(spans.named("endpoints.create")) for spans in hooks)


@pytest.mark.parametrize("moment", [RunStarted, RunPhaseStarted])
def test_an_interrupt_as_a_run_starts(moment: type[Event], threaded_sandbox: Sandbox, tmp_path: Path) -> None:
    """The end of the run is reported also if Ctrl-C comes while the hook hears of its start."""
    heard: list[type[Event]] = []

    def interrupted(event: Event) -> None:
        heard.append(type(event))
        if heard.count(moment) == 1 and isinstance(event, moment):
            raise KeyboardInterrupt

    async def run() -> None:
        async with (
            AsyncClient(
                threaded_sandbox.auth_id,
                threaded_sandbox.auth_token,
                base_url=threaded_sandbox.base_url,
                on_event=interrupted,
            ) as client,
            AsyncFleet(client, tmp_path / "fleet.db").apply(ROWS),
        ):
            pass

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())
    assert RunFinished is heard[-1]

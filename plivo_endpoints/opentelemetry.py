"""Traces and metrics of a client with OpenTelemetry; needs the extra `otel`.

```python
from plivo_endpoints import AsyncClient
from plivo_endpoints.opentelemetry import OpenTelemetry

client = AsyncClient(on_event=OpenTelemetry())
```

A call's span is not made the current one. It starts and ends in two calls of the hook, and a call that is
dropped unfinished ends in whatever context the interpreter cleans up in, where the context that was current
before could not be restored. A provisioning run has a task of its own, whose context ends with it, so the
current phase is the current span there.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import define, frozen

from plivo_endpoints._events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    RunFinished,
    RunPhaseStarted,
    RunStarted,
)
from plivo_endpoints._version import __version__

try:
    from opentelemetry.context import attach
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer, set_span_in_context
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ImportError("needs OpenTelemetry: pip install 'plivo-endpoints[otel]'", name=_error.name) from None

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from plivo_endpoints._events import Event

    _Attributes = dict[str, str | bool | int | float]

__all__ = ["OpenTelemetry"]

_SCOPE: Final = "plivo_endpoints"
# The first are those that the conventions advise for requests; a call also has pauses, and 30 s by default.
_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_CALL_BUCKETS: Final = (*_REQUEST_BUCKETS, 20.0, 30.0, 60.0)


class OpenTelemetry:
    """An `on_event` hook that records spans and metrics.

    Each call has a span, a child of the span that is current for the caller, and each attempt is a child of
    its call. A provisioning run has a span with a child for each phase, and its calls are children of the
    phase. No span or metric has an id, a username, an alias, a password or a token. One object may serve any
    number of clients, threads and event loops. The guide to logs, metrics and traces lists all names.

    Args:
        tracer_provider: Where spans go. Defaults to the global provider.
        meter_provider: Where metrics go. Defaults to the global provider.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        tracer = get_tracer(_SCOPE, __version__, tracer_provider)
        self._calls = _Calls(tracer, _Metrics(get_meter(_SCOPE, __version__, meter_provider)))
        self._runs = _Runs(tracer)

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case CallStarted():
                self._calls.start(event)
            case AttemptStarted():
                self._calls.start_attempt(event)
            case AttemptFinished():
                self._calls.finish_attempt(event)
            case CallFinished():
                self._calls.finish(event)
            case RunStarted():
                self._runs.start(event)
            case RunPhaseStarted():
                self._runs.start_phase(event)
            case RunFinished():
                self._runs.finish(event)


@frozen
class _Target:
    """What the conventions say of a URL, from its template."""

    template: str
    server: _Attributes
    request: _Attributes


@lru_cache(maxsize=256)
def _target_of(url: str, method: str) -> _Target:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    server: _Attributes = {"server.address": parts.hostname or "", "server.port": port}
    request: _Attributes = {
        "http.request.method": method,
        "url.template": parts.path,
        "url.full": _redacted(url),
        **server,
    }
    return _Target(parts.path, server, request)


def _redacted(template: str) -> str:
    """Return a URL template with `REDACTED` for each placeholder, as the conventions write what they hide."""
    return "/".join("REDACTED" if part.startswith("{") else part for part in template.split("/"))


@define(eq=False)
class _Call:
    """The state of a call that has not ended."""

    span: Span
    context: Context
    target: _Target
    attempt: Span | None = None


class _Calls:
    """The spans of calls and attempts."""

    def __init__(self, tracer: Tracer, metrics: _Metrics) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._running: dict[int, _Call] = {}

    def start(self, event: CallStarted) -> None:
        """Start the span of a call; its parent is the current span."""
        span = self._tracer.start_span(event.operation, attributes={"plivo.operation": event.operation})
        target = _target_of(event.url, event.method)
        self._running[event.call] = _Call(span, set_span_in_context(span), target)

    def start_attempt(self, event: AttemptStarted) -> None:
        """Start the span of an attempt."""
        call = self._running[event.call]
        attributes = call.target.request.copy()
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        call.attempt = self._tracer.start_span(
            f"{event.method} {call.target.template}",
            context=call.context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )

    def finish_attempt(self, event: AttemptFinished) -> None:
        """End the span of an attempt."""
        call, error = self._running[event.call], _error_of(event)
        self._metrics.attempt(call, event, error)
        if call.attempt is None:
            return
        attributes: _Attributes = {
            "plivo.outcome": event.outcome,
            "plivo.sent": event.sent,
            "plivo.waited": event.waited,
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        call.attempt.set_attributes(attributes)
        _end(call.attempt, error)

    def finish(self, event: CallFinished) -> None:
        """End the span of a call."""
        call = self._running.pop(event.call)
        self._metrics.call(call, event)
        attributes: _Attributes = {"plivo.attempts": event.attempts, "plivo.waited": event.waited}
        if event.error is not None:
            attributes["plivo.outcome_unknown"] = event.outcome_unknown
        if event.phase is not None:
            attributes["plivo.phase"] = event.phase
        call.span.set_attributes(attributes)
        _end(call.span, event.error)


def _error_of(event: AttemptFinished) -> str | None:
    """Return the `error.type` of an attempt: its status if that is the error, else how it ended."""
    if event.outcome == "done":
        return None
    is_refusal = event.status is not None and event.status >= HTTPStatus.MULTIPLE_CHOICES
    return str(event.status) if is_refusal else event.outcome.replace(" ", "_")


def _end(span: Span, error: str | None) -> None:
    # Never the exception: its message names the username and the alias of a lost create.
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


class _Metrics:
    """The instruments."""

    def __init__(self, meter: Meter) -> None:
        self._request_duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of an attempt, after its waits.",
            explicit_bucket_boundaries_advisory=_REQUEST_BUCKETS,
        )
        self._call_duration = meter.create_histogram(
            "plivo.client.call.duration",
            "s",
            "Duration of a call: waits, attempts and pauses.",
            explicit_bucket_boundaries_advisory=_CALL_BUCKETS,
        )
        self._wait_duration = meter.create_histogram(
            "plivo.client.wait.duration",
            "s",
            "What the attempts of a call waited for the rate limit and a connection.",
            explicit_bucket_boundaries_advisory=_CALL_BUCKETS,
        )
        self._retries = meter.create_counter(
            "plivo.client.retries", "{attempt}", "Attempts after the first of a call."
        )
        self._unknown = meter.create_counter(
            "plivo.client.unknown_outcomes", "{call}", "Calls that may have been carried out."
        )
        self._budget = meter.create_gauge(
            "plivo.client.retry_budget", "{token}", "Tokens left for retries after the last call."
        )

    def attempt(self, call: _Call, event: AttemptFinished, error: str | None) -> None:
        """Record an attempt."""
        attributes: _Attributes = {
            "http.request.method": event.method,
            "url.template": call.target.template,
            **call.target.server,
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if error is not None:
            attributes["error.type"] = error
        self._request_duration.record(event.seconds, attributes, call.context)

    def call(self, call: _Call, event: CallFinished) -> None:
        """Record a call."""
        operation: _Attributes = {"plivo.operation": event.operation}
        attributes = operation if event.error is None else {**operation, "error.type": event.error}
        self._call_duration.record(event.seconds, attributes, call.context)
        self._wait_duration.record(event.waited, operation, call.context)
        self._budget.set(event.retry_budget, call.target.server)
        if event.attempts > 1:
            self._retries.add(event.attempts - 1, operation, call.context)
        if event.outcome_unknown:
            self._unknown.add(1, operation, call.context)


@define(eq=False)
class _Run:
    """The state of a run that has not ended."""

    span: Span
    context: Context
    phase: Span | None = None


class _Runs:
    """The spans of provisioning runs and their phases."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._running: dict[int, _Run] = {}

    def start(self, event: RunStarted) -> None:
        """Start the span of a run."""
        span = self._tracer.start_span(event.operation)
        self._running[event.run] = _Run(span, set_span_in_context(span))

    def start_phase(self, event: RunPhaseStarted) -> None:
        """End the phase before, and make the span of this one current in the run's task."""
        run = self._running[event.run]
        if run.phase is not None:
            run.phase.end()
        run.phase = self._tracer.start_span(f"provisioning.{event.phase}", context=run.context)
        attach(set_span_in_context(run.phase, run.context))  # never detached: the context is the task's own

    def finish(self, event: RunFinished) -> None:
        """End the spans of the run and its last phase."""
        run = self._running.pop(event.run)
        if run.phase is not None:
            _end(run.phase, event.error)
        for status, count in event.counts.items():
            run.span.set_attribute(f"plivo.provisioning.rows.{status}", count)
        _end(run.span, event.error)

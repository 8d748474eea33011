"""Traces and metrics with OpenTelemetry: needs the extra `otel`, which brings its API only.

A call is a span, and each of its attempts a child that follows OpenTelemetry's semantic conventions for HTTP
clients: https://opentelemetry.io/docs/specs/semconv/http/. No span or metric contains an id, a username or a
secret; where the conventions want a full URL, placeholders replace the ids.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from attrs import define, frozen

from plivo_endpoints._events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    PhaseStarted,
    RunFinished,
    RunStarted,
)
from plivo_endpoints._version import __version__

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import SpanKind, StatusCode
except ModuleNotFoundError as _error:
    if _error.name != "opentelemetry":
        raise
    raise ImportError("needs OpenTelemetry: pip install 'plivo-endpoints[otel]'", name=_error.name) from None

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.util.types import AttributeValue

    from plivo_endpoints._events import Event

    Attributes: TypeAlias = dict[str, AttributeValue]

__all__ = ["OpenTelemetry"]

_NAME: Final = "plivo_endpoints"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"
# Those of the conventions, in seconds.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PORTS: Final = {"http": 80, "https": 443}
_PLACEHOLDER: Final = re.compile(r"\{\w+\}")
_FIRST_ERROR: Final = 400  # statuses from here on are errors


class OpenTelemetry:
    """Turns the events of clients into spans and metrics.

    ```python
    client = AsyncClient(on_event=OpenTelemetry())
    ```

    One object can serve any number of clients, async and blocking, in any number of threads and loops. A span
    is current while its call, attempt or phase lasts, so that log lines and the spans of other
    instrumentation belong to it.

    Args:
        tracer_provider: Defaults to the global one.
        meter_provider: Defaults to the global one.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider, _SCHEMA)
        self._meters = _Meters(metrics.get_meter(_NAME, __version__, meter_provider, _SCHEMA))

    def __call__(self, event: Event) -> None:
        """Begin or end a span, and record what can be measured; a client calls this with each event."""
        match event:
            case CallStarted():
                call = _Call(_Server.of(event.url), _Current(self._tracer.start_span(event.operation)))
                call.token = _CALL.set(call)
            case AttemptStarted():
                self._start_attempt(event)
            case AttemptFinished():
                self._finish_attempt(event)
            case CallFinished():
                self._finish_call(event)
            case RunStarted():
                run = _Run(_Current(self._tracer.start_span(event.operation)))
                run.token = _RUN.set(run)
            case PhaseStarted():
                self._start_phase(event)
            case RunFinished():
                _finish_run(event)

    def _start_attempt(self, event: AttemptStarted) -> None:
        call = _CALL.get()
        if call is not None:
            attributes = call.server.attributes | {
                "http.request.method": event.method,
                "url.full": call.server.url,
                f"{_NAME}.waited": event.waited,
            }
            if event.attempt > 1:
                attributes["http.request.resend_count"] = event.attempt - 1
            name = f"{event.method} {call.server.template}"
            call.attempt = _Current(
                self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            )

    def _finish_attempt(self, event: AttemptFinished) -> None:
        call = _CALL.get()
        if call is not None and call.attempt is not None:
            error = _error_of(event)
            status: Attributes = {} if event.status is None else {"http.response.status_code": event.status}
            call.attempt.end(status | {f"{_NAME}.sent": event.sent}, error)
            call.attempt = None
            self._meters.finish_attempt(event, call.server.attributes | status, error)

    def _finish_call(self, event: CallFinished) -> None:
        call = _CALL.get()
        if call is None or call.token is None:
            return
        attributes: Attributes = {
            f"{_NAME}.attempts": event.attempts,
            f"{_NAME}.waited": event.waited,
            f"{_NAME}.outcome_unknown": event.outcome_unknown,
        }
        if event.phase is not None:
            attributes[f"{_NAME}.phase"] = event.phase
        call.span.end(attributes, event.error)
        _CALL.reset(call.token)
        self._meters.finish_call(event)

    def _start_phase(self, event: PhaseStarted) -> None:
        run = _RUN.get()
        if run is not None:
            run.end_phase(None)
            run.phase = _Current(self._tracer.start_span(f"provisioning.{event.phase}"))


def _finish_run(event: RunFinished) -> None:
    run = _RUN.get()
    if run is None or run.token is None:
        return
    run.end_phase(event.error)
    run.span.end({f"{_NAME}.rows.{status}": number for status, number in event.counts.items()}, event.error)
    _RUN.reset(run.token)


def _error_of(event: AttemptFinished) -> str | None:
    """Return the `error.type` of an attempt: the status if it is an error, as the conventions have it."""
    if event.outcome == "done":
        return None
    is_error = event.status is not None and event.status >= _FIRST_ERROR
    return str(event.status) if is_error else event.outcome


@frozen
class _Server:
    """What spans and metrics say of a request's address.

    `attributes` has the server, and the template of the path; `url` is the whole URL without its ids.
    """

    attributes: Attributes
    template: str
    url: str

    @classmethod
    def of(cls, url: str) -> _Server:
        """Read a URL template."""
        parts = urlsplit(url)
        attributes: Attributes = {
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS[parts.scheme],
            "url.template": parts.path,
        }
        return cls(attributes, parts.path, _PLACEHOLDER.sub("REDACTED", url))


class _Current:
    """A span that is current until it ends; it must end in the context in which it began."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))

    def end(self, attributes: Attributes, error: str | None) -> None:
        """End it, with its result."""
        self._span.set_attributes(attributes | _error_attribute(error))
        if error is not None:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


@define(eq=False)
class _Call:
    """A call in progress."""

    server: _Server
    span: _Current
    attempt: _Current | None = None
    token: Token[_Call | None] | None = None


@define(eq=False)
class _Run:
    """A provisioning run in progress."""

    span: _Current
    phase: _Current | None = None
    token: Token[_Run | None] | None = None

    def end_phase(self, error: str | None) -> None:
        """End the span of the current phase, if there is one."""
        if self.phase is not None:
            self.phase.end({}, error)
            self.phase = None


# The events of a call or run come in one context; what it starts, as a run starts calls, has others.
_CALL: Final[ContextVar[_Call | None]] = ContextVar("plivo_endpoints_call", default=None)
_RUN: Final[ContextVar[_Run | None]] = ContextVar("plivo_endpoints_run", default=None)


def _error_attribute(error: str | None) -> Attributes:
    return {} if error is None else {"error.type": error}


class _Meters:
    """The instruments."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._attempt = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._call = meter.create_histogram(
            f"{_NAME}.call.duration",
            unit="s",
            description="Duration of calls, with their waits, attempts and the pauses between them.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._wait = meter.create_histogram(
            f"{_NAME}.call.wait.duration",
            unit="s",
            description="How long calls waited for the rate limit and for a connection.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._unknown = meter.create_counter(
            f"{_NAME}.outcome_unknown",
            unit="{call}",
            description="Calls that may have been carried out although they failed.",
        )
        self._budget = meter.create_gauge(
            f"{_NAME}.retry_budget",
            unit="1",
            description="Share of the budget for retries that is left.",
        )

    def finish_attempt(self, event: AttemptFinished, attributes: Attributes, error: str | None) -> None:
        """Record what an attempt took."""
        attributes["http.request.method"] = event.method
        self._attempt.record(event.seconds, attributes | _error_attribute(error))

    def finish_call(self, event: CallFinished) -> None:
        """Record what a call took."""
        operation: Attributes = {f"{_NAME}.operation": event.operation}
        self._wait.record(event.waited, operation)
        self._call.record(event.seconds, operation | _error_attribute(event.error))
        self._budget.set(event.retry_budget)
        if event.outcome_unknown:
            self._unknown.add(1, operation)

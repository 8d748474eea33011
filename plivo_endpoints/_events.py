"""Log lines, and events for metrics and tracing.

Both carry the operation's name and its path template, never an id, a header or a body.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints._errors import AmbiguousOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plivo_endpoints._errors import Phase
    from plivo_endpoints._sansio.messages import Attempt, Request
    from plivo_endpoints._sansio.retry import RetryHistory

logger: Final = logging.getLogger("plivo_endpoints")


@frozen(kw_only=True)
class CallStarted:
    """A call began. Its other events follow in the same task and context, `CallFinished` last.

    Attributes:
        call: A number that all events of the call share, and no other call that runs at the same time.
        operation: Its name, such as "endpoints.create".
        method: HTTP method.
        path: Path template below the account.
        url: Template of the whole URL, such as "https://api.plivo.com/v1/Account/{auth_id}/Endpoint/".
    """

    call: int
    operation: str
    method: str
    path: str
    url: str


@frozen(kw_only=True)
class AttemptStarted:
    """An attempt has passed the rate limit and goes on to connect and send.

    Attributes:
        call: The number of the call.
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        waited: Seconds that it waited for the rate limit and for one of `max_connections`.
    """

    call: int
    operation: str
    method: str
    path: str
    attempt: int
    waited: float


@frozen(kw_only=True)
class AttemptFinished:
    """An attempt ended.

    Attributes:
        call: The number of the call.
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        outcome: "done", "not sent", "refused", "throttled", "ambiguous" or "cancelled" (timeouts included).
        phase: How far it came: "connect" or "response".
        status: HTTP status, if a response came.
        sent: Whether it may have been sent.
        waited: Seconds that it waited before it started.
        seconds: How long it took after that wait: connecting, sending, and waiting for the response.
    """

    call: int
    operation: str
    method: str
    path: str
    attempt: int
    outcome: str
    phase: Phase
    status: int | None
    sent: bool
    waited: float
    seconds: float


@frozen(kw_only=True)
class CallFinished:
    """A call ended.

    Attributes:
        call: The number of the call.
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempts: Number of attempts, including those that aiohttp made by itself on a session of yours; 0 if
            the call never got past the rate limit.
        error: Name of the error's class; `None` on success.
        phase: Where the last attempt was when the call failed: "rate limit", "connect" or "response"; `None`
            on success.
        outcome_unknown: Whether a request that must not be repeated may have been carried out: the error is
            an `AmbiguousOutcomeError`, or a cancellation or interrupt that has one as its cause.
        waited: Seconds that its attempts waited before they started.
        seconds: How long the whole call took: waits, attempts and the pauses between them.
        retry_budget: Tokens left in the retry budget that all calls of the client share. It begins with 500;
            a retry takes 14, or 5 after a 429, and a call that succeeds at the first attempt returns one.
    """

    call: int
    operation: str
    method: str
    path: str
    attempts: int
    error: str | None
    phase: Phase | None
    outcome_unknown: bool
    waited: float
    seconds: float
    retry_budget: float


@frozen(kw_only=True)
class RunStarted:
    """A provisioning run began in this process. Its other events follow in the same task, `RunFinished` last.

    The task is the run's own: a context variable that is set here applies to the run and its calls only.

    Attributes:
        run: A number that all events of the run share, and no other run that is in progress.
        operation: "provisioning.apply" or "provisioning.work".
    """

    run: int
    operation: str


@frozen(kw_only=True)
class RunPhaseStarted:
    """A run entered a phase, which ends with the next of these events, or with the run.

    Attributes:
        run: The number of the run.
        operation: As in `RunStarted`.
        phase: The phase, as in `Progress`; "done" is not reported.
    """

    run: int
    operation: str
    phase: str


@frozen(kw_only=True)
class RunFinished:
    """A run ended in this process.

    Attributes:
        run: The number of the run.
        operation: As in `RunStarted`.
        error: Name of the error's class; `None` if the run ended or was stopped without one.
        counts: Number of rows by status, as in `Report`.
        seconds: How long it took.
    """

    run: int
    operation: str
    error: str | None
    counts: Mapping[str, int]
    seconds: float


Event = (
    CallStarted | AttemptStarted | AttemptFinished | CallFinished | RunStarted | RunPhaseStarted | RunFinished
)


class Observer:
    """Sends events to the log and to the caller's hook.

    The result of a create must not be lost because a metrics hook or a logging handler fails or calls
    `sys.exit`. Only a `KeyboardInterrupt` propagates: Ctrl-C can come during either.
    """

    def __init__(self, on_event: Callable[[Event], None] | None, base_url: str) -> None:
        self._on_event = on_event
        self._url = f"{base_url}/v1/Account/{{auth_id}}/"

    def call_started(self, request: Request) -> None:
        """Report the start of a call."""
        if self._on_event is not None:
            event = CallStarted(
                call=id(request),
                operation=request.operation,
                method=request.method,
                path=request.path,
                url=self._url + request.path,
            )
            self.emit(event)

    def attempt_started(self, request: Request, attempt: Attempt) -> None:
        """Report an attempt that got past the rate limit."""
        if self._on_event is not None:
            event = AttemptStarted(
                call=id(request),
                operation=request.operation,
                method=request.method,
                path=request.path,
                attempt=attempt.number,
                waited=attempt.waited,
            )
            self.emit(event)

    def attempt_finished(self, request: Request, history: RetryHistory, outcome: str, seconds: float) -> None:
        """Report the end of an attempt."""
        attempt = history.attempt
        if logger.isEnabledFor(logging.DEBUG):
            _log(
                logging.DEBUG,
                "%s %s attempt %d: %s, status %s, %.1f ms",
                request.method,
                request.path,
                attempt.number,
                outcome,
                attempt.status,
                seconds * 1000,
            )
        if self._on_event is not None:
            event = AttemptFinished(
                call=id(request),
                operation=request.operation,
                method=request.method,
                path=request.path,
                attempt=attempt.number,
                outcome=str(outcome),
                phase=attempt.phase,
                status=attempt.status,
                sent=attempt.sent,
                waited=attempt.waited,
                seconds=seconds,
            )
            self.emit(event)

    def call_finished(
        self, request: Request, history: RetryHistory, error: BaseException | None, seconds: float
    ) -> None:
        """Report the end of a call."""
        if self._on_event is not None:
            unknown = None if error is None else (error, error.__cause__)
            event = CallFinished(
                call=id(request),
                operation=request.operation,
                method=request.method,
                path=request.path,
                attempts=history.attempts,
                error=None if error is None else type(error).__name__,
                phase=None if error is None else history.phase,
                outcome_unknown=any(isinstance(each, AmbiguousOutcomeError) for each in unknown or ()),
                waited=history.waited,
                seconds=seconds,
                retry_budget=history.budget.tokens,
            )
            self.emit(event)

    def outcome_unknown(self, error: AmbiguousOutcomeError) -> None:
        """Log an unknown outcome that is only the cause of an interrupt, where it is easily overlooked."""
        _log(logging.WARNING, "%s", error)

    def emit(self, event: Event) -> None:
        """Pass an event to the hook, if there is one."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - the hook awaits nothing, so this hides no cancellation
            _log(logging.ERROR, "the on_event hook failed", exc_info=True)


def _log(level: int, message: str, *values: object, exc_info: bool = False) -> None:
    try:
        logger.log(level, message, *values, exc_info=exc_info)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - there is nowhere left to report it
        pass

"""Log lines, and events for metrics and tracing.

Both carry the operation's name and its path template, never an id, a header or a body.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import frozen

from plivo_endpoints._errors import AmbiguousOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._errors import Phase
    from plivo_endpoints._sansio.messages import Attempt, Request
    from plivo_endpoints._sansio.retry import RetryHistory

logger: Final = logging.getLogger("plivo_endpoints")


@frozen(kw_only=True)
class CallStarted:
    """A call began. Its other events follow in the same task and context, `CallFinished` last.

    Attributes:
        operation: Its name, such as "endpoints.create".
        method: HTTP method.
        path: Path template below the account.
    """

    operation: str
    method: str
    path: str


@frozen(kw_only=True)
class AttemptStarted:
    """An attempt has passed the rate limit and goes on to connect and send.

    Attributes:
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        waited: Seconds that it waited for the rate limit and for one of `max_connections`.
    """

    operation: str
    method: str
    path: str
    attempt: int
    waited: float


@frozen(kw_only=True)
class AttemptFinished:
    """An attempt ended.

    Attributes:
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
    """

    operation: str
    method: str
    path: str
    attempts: int
    error: str | None
    phase: Phase | None
    outcome_unknown: bool
    waited: float
    seconds: float


Event = CallStarted | AttemptStarted | AttemptFinished | CallFinished


class Observer:
    """Sends events to the log and to the caller's hook.

    The result of a create must not be lost because a metrics hook or a logging handler fails or calls
    `sys.exit`. Only a `KeyboardInterrupt` propagates: Ctrl-C can come during either.
    """

    def __init__(self, on_event: Callable[[Event], None] | None) -> None:
        self._on_event = on_event

    def call_started(self, request: Request) -> None:
        """Report the start of a call."""
        if self._on_event is not None:
            self._emit(
                CallStarted(operation=request.operation, method=request.method, path=request.path),
            )

    def attempt_started(self, request: Request, attempt: Attempt) -> None:
        """Report an attempt that got past the rate limit."""
        if self._on_event is not None:
            event = AttemptStarted(
                operation=request.operation,
                method=request.method,
                path=request.path,
                attempt=attempt.number,
                waited=attempt.waited,
            )
            self._emit(event)

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
            self._emit(event)

    def call_finished(
        self, request: Request, history: RetryHistory, error: BaseException | None, seconds: float
    ) -> None:
        """Report the end of a call."""
        if self._on_event is not None:
            unknown = None if error is None else (error, error.__cause__)
            event = CallFinished(
                operation=request.operation,
                method=request.method,
                path=request.path,
                attempts=history.attempts,
                error=None if error is None else type(error).__name__,
                phase=None if error is None else history.phase,
                outcome_unknown=any(isinstance(each, AmbiguousOutcomeError) for each in unknown or ()),
                waited=history.waited,
                seconds=seconds,
            )
            self._emit(event)

    def outcome_unknown(self, error: AmbiguousOutcomeError) -> None:
        """Log an unknown outcome that is only the cause of an interrupt, where it is easily overlooked."""
        _log(logging.WARNING, "%s", error)

    def _emit(self, event: Event) -> None:
        assert self._on_event is not None  # noqa: S101 - every caller checks it
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

"""What the client tells about its work: log lines, and events for metrics and tracing.

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
    """An attempt of a call has a place in the rate limit, and goes on to connect and send.

    Attributes:
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        waited: Seconds that it waited before, for the rate limit and among `max_connections`.
    """

    operation: str
    method: str
    path: str
    attempt: int
    waited: float


@frozen(kw_only=True)
class AttemptFinished:
    """An attempt that had started ended.

    Attributes:
        operation: The operation's name.
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        outcome: "done", "not sent", "refused", "throttled", "ambiguous" or "cancelled" (a timeout too).
        phase: How far it came: to "connect" or to the "response".
        status: HTTP status, if an answer came.
        sent: Whether it may have left this process.
        waited: Seconds that it waited before it started.
        seconds: How long it took from its start on: connecting, sending, and the server's time.
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
        attempts: How many attempts it took, with those that aiohttp made by itself on a session of yours; 0
            if it never got past the rate limit.
        error: Name of the error's class; `None` after success.
        phase: Where the last attempt was when the call failed: "rate limit", "connect" or "response"; `None`
            after success.
        outcome_unknown: Whether something that must not be repeated may have happened: the error is an
            `AmbiguousOutcomeError`, or a cancellation or interrupt that has one as its cause.
        waited: Seconds that its attempts waited before they started.
        seconds: How long it took as a whole: waiting, attempts and the pauses between them.
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

    A create that worked must not be lost to a metrics hook or a logging handler that does not, nor to one
    that calls `sys.exit`. Only a `KeyboardInterrupt` passes: Ctrl-C can come during either.
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
        """Log an outcome that only the cause of an interrupt knows, where few look."""
        _log(logging.WARNING, "%s", error)

    def _emit(self, event: Event) -> None:
        assert self._on_event is not None  # noqa: S101 - asked by every caller
        try:
            self._on_event(event)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a hook awaits nothing, so no cancellation of the task ends here
            _log(logging.ERROR, "the on_event hook failed", exc_info=True)


def _log(level: int, message: str, *values: object, exc_info: bool = False) -> None:
    try:
        logger.log(level, message, *values, exc_info=exc_info)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - and there is nowhere left to say so
        pass

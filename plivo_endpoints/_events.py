"""What the client tells about its work: log lines, and events for metrics.

Both carry the path template, never an id, a header or a body.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._sansio.messages import Request
    from plivo_endpoints._sansio.retry import Retries

logger: Final = logging.getLogger("plivo_endpoints")


@frozen(kw_only=True)
class AttemptFinished:
    """One attempt of a call ended.

    Attributes:
        method: HTTP method.
        path: Path template below the account.
        attempt: Its number within the call, from 1.
        outcome: "done", "not sent", "refused", "throttled", "ambiguous" or "cancelled" (a timeout too).
        status: HTTP status, if an answer came.
        sent: Whether it may have left this process.
        seconds: How long it took, the wait for the rate limit included.
    """

    method: str
    path: str
    attempt: int
    outcome: str
    status: int | None
    sent: bool
    seconds: float


@frozen(kw_only=True)
class CallFinished:
    """A call ended.

    Attributes:
        method: HTTP method.
        path: Path template below the account.
        attempts: How many attempts it took.
        error: Name of the error's class; `None` after success.
        seconds: How long it took as a whole.
    """

    method: str
    path: str
    attempts: int
    error: str | None
    seconds: float


class Observer:
    """Sends events to the log and to the caller's hook."""

    def __init__(self, on_event: Callable[[AttemptFinished | CallFinished], None] | None) -> None:
        self._on_event = on_event

    def attempt_finished(self, request: Request, history: Retries, outcome: str, seconds: float) -> None:
        """Tell of one attempt."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s %s attempt %d: %s, status %s, %.1f ms",
                request.method,
                request.path,
                history.attempts,
                outcome,
                history.attempt.status,
                seconds * 1000,
            )
        if self._on_event is not None:
            event = AttemptFinished(
                method=request.method,
                path=request.path,
                attempt=history.attempts,
                outcome=str(outcome),
                status=history.attempt.status,
                sent=history.attempt.sent,
                seconds=seconds,
            )
            _emit(self._on_event, event)

    def call_finished(
        self, request: Request, history: Retries, error: BaseException | None, seconds: float
    ) -> None:
        """Tell of a whole call."""
        if self._on_event is not None:
            event = CallFinished(
                method=request.method,
                path=request.path,
                attempts=history.attempts,
                error=None if error is None else type(error).__name__,
                seconds=seconds,
            )
            _emit(self._on_event, event)


def _emit(
    on_event: Callable[[AttemptFinished | CallFinished], None], event: AttemptFinished | CallFinished
) -> None:
    # A create that worked must not be lost to a metrics hook that does not, nor to one that calls `sys.exit`.
    try:
        on_event(event)
    except (Exception, SystemExit):
        logger.exception("the on_event hook failed")

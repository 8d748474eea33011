"""The phase of a run, and the events that report it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from plivo_endpoints._events import RunFinished, RunPhaseStarted, RunStarted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints._events import Observer
    from plivo_endpoints.provisioning._report import Status

Phase = Literal[
    "waiting",
    "planning",
    "canary",
    "creating",
    "updating",
    "settling",
    "reconciling",
    "deleting",
    "auditing",
    "done",
]


class PhaseTracker:
    """Holds the phase of a run in this process, and reports its start, its phases and its end.

    Args:
        observer: The client's.
        operation: The name of the run in events.
        phase: The first phase.
    """

    def __init__(self, observer: Observer, operation: str, phase: Phase) -> None:
        self.phase: Phase = phase
        self._observer = observer
        self._operation = operation
        self._started = 0.0

    def start(self) -> None:
        """Report that the run starts, with its first phase."""
        self._started = time.monotonic()
        self._observer.emit(RunStarted(run=id(self), operation=self._operation))
        self._report_phase()

    def enter(self, phase: Phase) -> None:
        """Enter a phase, unless it is the current one."""
        if phase != self.phase:
            self.phase = phase
            self._report_phase()

    def finish(self, counts: Mapping[Status, int], error: BaseException | None) -> None:
        """Report that the run has ended."""
        event = RunFinished(
            run=id(self),
            operation=self._operation,
            error=None if error is None else type(error).__name__,
            counts={str(status): count for status, count in counts.items()},
            seconds=time.monotonic() - self._started,
        )
        self._observer.emit(event)

    def _report_phase(self) -> None:
        if self.phase != "done":
            event = RunPhaseStarted(run=id(self), operation=self._operation, phase=self.phase)
            self._observer.emit(event)

"""One timer for the timeouts of all calls on a loop.

`asyncio.timeout` sets a timer for every call and cancels it when the call ends. That costs several percent of
each call, although hardly any times out. Here a call is only added to a set. A single timer fires at the
earliest deadline and then checks all of them.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_MIN_INTERVAL: Final = 0.005  # seconds between two checks, each of which may go through thousands of calls


class Deadlines:
    """Times out calls on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the timer fires
        self._is_closed = False

    def after(self, seconds: float) -> Deadline:
        """Return a context manager that, like `asyncio.timeout`, ends its block with a `TimeoutError`."""
        return Deadline(self, self._loop.time() + seconds)

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline."""
        self._running.add(deadline)
        if deadline.when < self._due:
            self._set_timer(deadline.when)

    def remove(self, deadline: Deadline) -> None:
        """Stop watching a deadline; the timer is kept, since it may serve the next one."""
        self._running.discard(deadline)
        if self._is_closed and not self._running:
            self._drop_timer()

    def close(self) -> None:
        """Cancel the timer once the last call has ended."""
        self._is_closed = True
        if not self._running:
            self._drop_timer()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = None, math.inf

    def _set_timer(self, when: float) -> None:
        self._drop_timer()
        # In an empty context: otherwise the timer would keep that of the first call alive.
        self._timer = self._loop.call_at(when, self._check, context=Context())
        self._due = when

    def _check(self) -> None:
        self._drop_timer()
        now = self._loop.time()
        try:
            for deadline in [each for each in self._running if each.when <= now]:
                self._running.remove(deadline)
                deadline.expire()
        finally:
            if self._running:
                self._set_timer(max(now + _MIN_INTERVAL, min(each.when for each in self._running)))


class Deadline:
    """The time by which a block of the current task must end."""

    __slots__ = ("_cancelling", "_deadlines", "_is_over", "_task", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self.when = when
        self._deadlines = deadlines
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must be made from an asyncio task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.remove(self)
        # If something else has cancelled the task too, the cancellation must propagate.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task."""
        self._is_over = True
        self._task.cancel()

"""The timeouts of all calls on one loop, kept by one timer.

`asyncio.timeout` sets a timer for every call and takes it back when the call ends, which costs each of them
several percent, and hardly any call lives to see its own. Here a call is only entered in a set; the one timer
is due when the first of them may be, and then looks at all.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_REST: Final = 0.005  # seconds between two looks at least: each may have thousands to look at


class Deadlines:
    """Times out calls on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the timer is
        self._is_closed = False

    def after(self, seconds: float) -> Deadline:
        """Return a context manager that ends its block like `asyncio.timeout`: with a `TimeoutError`."""
        return Deadline(self, self._loop.time() + seconds)

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline."""
        self._running.add(deadline)
        if deadline.when < self._due:
            self._set_timer(deadline.when)

    def remove(self, deadline: Deadline) -> None:
        """Watch a deadline no more; the timer stays, for the next may be as good as any."""
        self._running.discard(deadline)
        if self._is_closed and not self._running:
            self._drop_timer()

    def close(self) -> None:
        """Leave no timer behind, once the last call has ended."""
        self._is_closed = True
        if not self._running:
            self._drop_timer()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = None, math.inf

    def _set_timer(self, when: float) -> None:
        self._drop_timer()
        # In a context of its own: that of the first call would live as long as there are others.
        self._timer = self._loop.call_at(when, self._look, context=Context())
        self._due = when

    def _look(self) -> None:
        self._drop_timer()
        now = self._loop.time()
        try:
            for deadline in [each for each in self._running if each.when <= now]:
                self._running.remove(deadline)
                deadline.expire()
        finally:
            if self._running:
                self._set_timer(max(now + _REST, min(each.when for each in self._running)))


class Deadline:
    """The time by which a block of the current task must have ended."""

    __slots__ = ("_cancelling", "_deadlines", "_is_over", "_task", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self.when = when
        self._deadlines = deadlines
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("calls are made in tasks")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.remove(self)
        # If others have cancelled the task too, it is theirs.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task."""
        self._is_over = True
        self._task.cancel()

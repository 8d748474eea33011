"""The base class of async resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plivo_endpoints._connections import Executor


class AsyncResource:
    """A group of operations on one client."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

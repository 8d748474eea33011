"""Threads of the operating system and locks between them, also under gevent.

gevent's patches make greenlets of threads, which share one that the system knows, and an event loop needs one
of its own. A lock of gevent's does not always wake a greenlet from another thread; data on a socket does.
"""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _SocketLock:
    """A lock that another thread opens for a greenlet."""

    def __init__(self) -> None:
        self._ends = socket.socketpair()

    def acquire(self) -> None:
        self._ends[0].recv(1)

    def release(self) -> None:
        self._ends[1].send(b"!")

    def __del__(self) -> None:
        for end in self._ends:
            end.close()


def _gevent() -> Any:  # noqa: ANN401 - a module that is there or not
    """Return `gevent.monkey` where it has made greenlets of threads."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey if monkey is not None and monkey.is_module_patched("threading") else None


def closed_lock() -> threading.Lock | _SocketLock:
    """Return a lock that is held, for one thread to release and others to wait for."""
    # Futures and events wait in Python code, which a signal's handler may leave half done.
    if _gevent() is not None:
        return _SocketLock()
    lock = threading.Lock()
    lock.acquire()
    return lock


def start_thread(target: Callable[[], None]) -> None:
    """Start a thread of the operating system: a greenlet cannot have a loop of its own."""
    monkey = _gevent()
    if monkey is not None:
        monkey.get_original("_thread", "start_new_thread")(target, ())
    else:
        threading.Thread(target=target, name="plivo-endpoints", daemon=True).start()

"""Native threads, locks between them and polling, also under gevent.

gevent's patches turn threads into greenlets that share one native thread, but an event loop needs one of its
own. A gevent lock does not always wake a greenlet from another native thread; data on a socket does.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _SocketLock:
    """A lock that another native thread can release for a greenlet."""

    def __init__(self) -> None:
        self._ends = socket.socketpair()

    def acquire(self) -> None:
        self._ends[0].recv(1)

    def release(self) -> None:
        self._ends[1].send(b"!")

    def __del__(self) -> None:
        for end in self._ends:
            end.close()


def _gevent() -> Any:  # noqa: ANN401 - a module, which may be missing
    """Return `gevent.monkey` if it has patched threads, else `None`."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey if monkey is not None and monkey.is_module_patched("threading") else None


def closed_lock() -> threading.Lock | _SocketLock:
    """Return an acquired lock, for one thread to release and others to wait for."""
    # Futures and events wait in Python code, which a signal handler may interrupt halfway.
    if _gevent() is not None:
        return _SocketLock()
    lock = threading.Lock()
    lock.acquire()
    return lock


def native_lock() -> threading.Lock:
    """Return an acquired lock for a native thread to wait for; greenlets may only release it."""
    monkey = _gevent()
    allocate = threading.Lock if monkey is None else monkey.get_original("_thread", "allocate_lock")
    lock: threading.Lock = allocate()
    lock.acquire()
    return lock


def start_thread(target: Callable[[], None]) -> None:
    """Start a native thread, even under gevent: a greenlet cannot have a loop of its own."""
    monkey = _gevent()
    if monkey is not None:
        monkey.get_original("_thread", "start_new_thread")(target, ())
    else:
        threading.Thread(target=target, name="plivo-endpoints", daemon=True).start()


def native_poll() -> Callable[[], select.poll] | None:
    """Return the system's `select.poll`, even under gevent; `None` on Windows, which has none."""
    monkey = _gevent()
    if monkey is not None:
        original: Callable[[], select.poll] = monkey.get_original("select", "poll")
        return original
    return getattr(select, "poll", None)

"""Threads of the operating system, and a way to wait for them, also under gevent.

gevent's patches make greenlets of threads, which share one that the system knows, and an event loop needs one
of its own. A lock of gevent's does not wake a greenlet from another thread, but data on a socket does.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _find_gevent() -> Any:  # noqa: ANN401 - a module that is there or not
    """Return `gevent.monkey` where it has replaced threads."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey if monkey is not None and monkey.is_module_patched("threading") else None


def start_thread(target: Callable[[], None]) -> None:
    """Start a daemon thread."""
    monkey = _find_gevent()
    if monkey is None:
        threading.Thread(target=target, name="plivo-endpoints", daemon=True).start()
    else:
        monkey.get_original("_thread", "start_new_thread")(target, ())


class Bell:
    """What one thread waits for and another rings."""

    _sockets: tuple[socket.socket, socket.socket] | None = None

    def __init__(self) -> None:
        self._sockets = None if _find_gevent() is None else socket.socketpair()
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Let one that waits go on, now or when it comes to wait."""
        if self._sockets is None:
            with suppress(RuntimeError):  # it was rung before
                self._lock.release()
        else:
            with suppress(OSError):  # nobody listens any more
                self._sockets[0].send(b"!")

    def wait(self) -> None:
        """Wait until it is rung."""
        if self._sockets is None:
            self._lock.acquire()
        else:
            self._sockets[1].recv(1)

    def __del__(self) -> None:
        for end in self._sockets or ():
            end.close()

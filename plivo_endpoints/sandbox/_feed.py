"""Telling whoever watches that something has changed."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Feed:
    """Wakes its listeners, each in its own event loop; changes may come from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def publish(self) -> None:
        """Wake all listeners: several changes may wake them only once."""
        for event, loop in tuple(self._listeners.items()):
            with suppress(RuntimeError):  # its loop is closed, and the listener gone with it
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def listen(self) -> Generator[asyncio.Event]:
        """Give an event that is set at every change; whoever waits clears it."""
        event = asyncio.Event()
        self._listeners[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            del self._listeners[event]

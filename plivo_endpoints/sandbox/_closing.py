"""Ending what would go on for long, when the sandbox stops."""

import asyncio

from aiohttp import web

_CLOSING = web.AppKey("closing", asyncio.Event)


def add_closing(app: web.Application) -> None:
    """Let `pause` and `is_closing` work."""
    app[_CLOSING] = asyncio.Event()
    app.on_shutdown.append(_close)


async def pause(app: web.Application, seconds: float) -> None:
    """Sleep, but no longer than the sandbox runs."""
    try:
        await asyncio.wait_for(app[_CLOSING].wait(), seconds)
    except TimeoutError:
        return


def is_closing(app: web.Application) -> bool:
    """Tell whether the sandbox is about to stop."""
    return app[_CLOSING].is_set()


async def _close(app: web.Application) -> None:
    app[_CLOSING].set()

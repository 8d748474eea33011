"""Tokens that are kept and renewed, so that a visitor costs no request.

A token that is wanted by many is requested once. While it still serves, it is renewed in the background, when
three quarters of the time in which it may be handed out have passed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._errors import ClientStateError
from plivo_endpoints._events import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from plivo_endpoints._models import Token
    from plivo_endpoints._request_models import NewToken

    Key = tuple[NewToken, int]  # what was asked for, without times, and its lifetime in seconds
    Mint = Callable[[], Coroutine[Any, Any, Token]]

MOST_TOKENS: Final = 10_000  # about 1.5 KB each; beyond that, those that were used longest ago are dropped
_SHORTEST_PAUSE: Final = 1.0  # seconds between two renewals of a token, of which the first failed


@define(eq=False)
class _KeptToken:
    """A token, and how long it lasts by both clocks."""

    token: Token
    lasts: float  # seconds, from just before it was requested
    ends_at: float  # monotonic seconds
    renew_not_before: float = 0.0  # monotonic seconds

    def left(self) -> float:
        """Return the seconds until it expires, by the clock that shows less.

        The system clock may be set back, and the monotonic one may stand still while a machine sleeps.
        """
        return min(self.token.expires_at.timestamp() - CLOCK.wall(), self.ends_at - CLOCK.monotonic())

    def is_due(self, left: float, refresh_before: float) -> bool:
        """Whether to renew it now, in the last quarter of the time in which it may be handed out."""
        return 4 * (left - refresh_before) < self.lasts - refresh_before and (
            CLOCK.monotonic() >= self.renew_not_before
        )

    def postpone(self, refresh_before: float) -> None:
        """Renew it later, after half of the time that is left for that."""
        pause = max((self.left() - refresh_before) / 2, _SHORTEST_PAUSE)
        self.renew_not_before = CLOCK.monotonic() + pause


@define(eq=False)
class _Request:
    """A request for a token that is under way, and how many wait for it."""

    task: asyncio.Task[_KeptToken]
    waiting: int = field(default=0, init=False)


class TokenCache:
    """The tokens that a client keeps for one event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _KeptToken] = OrderedDict()
        self._requests: dict[Key, _Request] = {}  # those whose tokens will be kept
        self._tasks: set[asyncio.Task[_KeptToken]] = set()

    async def get(self, key: Key, mint: Mint, refresh_before: float) -> Token:
        """Return a token with at least `refresh_before` seconds left, a kept one if possible."""
        kept = self._kept.get(key)
        left = -1.0 if kept is None else kept.left()
        if kept is not None and left >= refresh_before:
            self._kept.move_to_end(key)
            if kept.is_due(left, refresh_before) and key not in self._requests:
                self._renew(key, mint, kept, refresh_before)
            return kept.token
        new = await self._wait_for(key, mint)
        if new.left() < refresh_before <= new.lasts:  # a clock was set meanwhile
            new = await self._wait_for(key, mint)
        if new.left() < refresh_before:
            logger.warning("Plivo issued a token that ends earlier than refresh_before allows")
        return new.token

    def invalidate(self, sub: str | None) -> None:
        """Forget the tokens of a `sub`, or all; what is under way for them is not kept."""
        for known in (self._kept, self._requests):
            for key in [key for key in known if sub is None or key[0].sub == sub]:
                del known[key]

    async def aclose(self) -> None:
        """Forget all tokens, and cancel the requests that are under way."""
        self.invalidate(None)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wait_for(self, key: Key, mint: Mint) -> _KeptToken:
        """Wait for the request that is under way, or make one."""
        request = self._requests.get(key) or self._start(key, mint)
        request.waiting += 1
        try:
            # Not `shield`: if this one is cancelled, nobody is left to hear of an error of the request.
            await asyncio.wait({request.task})
        finally:
            request.waiting -= 1
            if not request.waiting and not request.task.done():
                await self._cancel(key, request)
        if request.task.cancelled():
            raise ClientStateError("the client was closed during the call")
        return request.task.result()

    def _renew(self, key: Key, mint: Mint, kept: _KeptToken, refresh_before: float) -> None:
        """Request a new token in the background; if that fails, the old one still serves."""
        request = self._start(key, mint)
        request.waiting += 1  # as if somebody waited: it goes on in any case
        request.task.add_done_callback(partial(_postpone_if_failed, kept, refresh_before))

    def _start(self, key: Key, mint: Mint) -> _Request:
        request = _Request(asyncio.create_task(_request(mint), name="plivo-endpoints token"))
        self._requests[key] = request
        self._tasks.add(request.task)
        # Before those who wait are woken: callbacks run in the order in which they were added.
        request.task.add_done_callback(partial(self._finish, key, request))
        return request

    def _finish(self, key: Key, request: _Request, task: asyncio.Task[_KeptToken]) -> None:
        self._tasks.discard(task)
        if self._requests.get(key) is not request:  # invalidated or cancelled
            return
        del self._requests[key]
        if not task.cancelled() and task.exception() is None:
            self._kept[key] = task.result()
            self._kept.move_to_end(key)
            if len(self._kept) > MOST_TOKENS:
                self._kept.popitem(last=False)

    async def _cancel(self, key: Key, request: _Request) -> None:
        # Removed first: whoever asks from now on needs another.
        if self._requests.get(key) is request:
            del self._requests[key]
        request.task.cancel()
        await asyncio.wait({request.task})


async def _request(mint: Mint) -> _KeptToken:
    wall, monotonic = CLOCK.wall(), CLOCK.monotonic()
    token = await mint()
    lasts = token.expires_at.timestamp() - wall
    return _KeptToken(token, lasts, monotonic + lasts)


def _postpone_if_failed(kept: _KeptToken, refresh_before: float, task: asyncio.Task[_KeptToken]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        kept.postpone(refresh_before)
        logger.warning("a token could not be renewed; the old one is still handed out: %s", error)

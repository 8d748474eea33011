"""A cache of tokens, so that a visitor costs no request.

Concurrent callers share one request. Tokens are refreshed in the background once three quarters of their
usable time have passed; until the new token comes, the old one is returned.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._errors import ClientStateError, PlivoError
from plivo_endpoints._events import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from plivo_endpoints._config import CallOptions
    from plivo_endpoints._models import Token
    from plivo_endpoints._request_models import NewToken

    Create = Callable[[], Coroutine[Any, Any, Token]]

CLOCK_SKEW: Final = 10  # seconds by which the clocks of this machine, Plivo and phones may differ
MAX_TOKENS: Final = 10_000  # about 1.5 KB each
_MIN_RETRY_DELAY: Final = 1.0  # seconds between two refreshes of a token, of which the first failed


@frozen
class TokenKey:
    """What callers have to agree in, to get the same token."""

    request: NewToken  # without times
    lifetime: int  # seconds


@define(eq=False)
class _CachedToken:
    """A token, and when it expires by both clocks."""

    token: Token
    lifetime: float  # seconds, from just before it was requested
    begins_at: float  # epoch seconds
    expires_at: float  # monotonic seconds
    refresh_not_before: float = 0.0  # monotonic seconds

    def remaining(self) -> float:
        """Return the seconds until it expires, by the clock that shows less; none if it is not valid yet.

        The system clock may be set back, and the monotonic one may stand still while a machine sleeps.
        """
        wall = CLOCK.wall()
        if wall < self.begins_at:
            return 0.0
        return min(self.token.expires_at.timestamp() - wall, self.expires_at - CLOCK.monotonic())

    def should_refresh(self, remaining: float, refresh_before: float) -> bool:
        """Whether to refresh it now, in the last quarter of the time in which it may be returned."""
        return 4 * (remaining - refresh_before) < self.lifetime - refresh_before and (
            CLOCK.monotonic() >= self.refresh_not_before
        )

    def postpone_refresh(self, refresh_before: float) -> None:
        """Refresh it after half of the time that is left for that."""
        delay = max((self.remaining() - refresh_before) / 2, _MIN_RETRY_DELAY)
        self.refresh_not_before = CLOCK.monotonic() + delay


@define(eq=False)
class _InFlight:
    """A request for a token, and how many callers wait for it.

    The task returns an error instead of raising it: nobody may be left to retrieve it, and asyncio would stop
    the loop for some.
    """

    task: asyncio.Task[_CachedToken | BaseException]
    waiting: int = field(default=0, init=False)


class TokenCache:
    """The tokens of a client in one event loop."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[TokenKey, _CachedToken] = OrderedDict()
        # Those whose tokens will be cached. Callers with other options do not share a request: it may take
        # longer than their timeout, or wait behind others where they would not.
        self._requests: dict[tuple[TokenKey, CallOptions], _InFlight] = {}
        self._tasks: set[asyncio.Task[_CachedToken | BaseException]] = set()

    async def get(self, key: TokenKey, options: CallOptions, create: Create, refresh_before: float) -> Token:
        """Return a token with at least `refresh_before` seconds left, a cached one if possible."""
        cached = self._tokens.get(key)
        remaining = -1.0 if cached is None else cached.remaining()
        if cached is not None and remaining >= refresh_before:
            self._tokens.move_to_end(key)
            if cached.should_refresh(remaining, refresh_before) and (key, options) not in self._requests:
                self._refresh(key, options, create, cached, refresh_before)
            return cached.token
        new = await self._request(key, options, create)
        if new.remaining() < refresh_before <= new.lifetime:  # a clock was set meanwhile
            new = await self._request(key, options, create)
        if new.remaining() < refresh_before:
            logger.warning("Plivo issued a token that ends earlier than refresh_before allows")
        return new.token

    def invalidate(self, sub: str | None) -> None:
        """Forget the tokens of a `sub`, or all; those that are requested now will not be cached."""
        for key in [key for key in self._tokens if sub is None or key.request.sub == sub]:
            del self._tokens[key]
        for key, options in [each for each in self._requests if sub is None or each[0].request.sub == sub]:
            del self._requests[key, options]

    async def aclose(self) -> None:
        """Forget all tokens, and cancel the requests."""
        self.invalidate(None)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _request(self, key: TokenKey, options: CallOptions, create: Create) -> _CachedToken:
        """Wait for the request that is in flight, or for a new one."""
        request = self._requests.get((key, options)) or self._start(key, options, create)
        request.waiting += 1
        try:
            await asyncio.wait({request.task})
        finally:
            request.waiting -= 1
            if not request.waiting and not request.task.done():
                await self._cancel(key, options, request)
        if request.task.cancelled():
            raise ClientStateError("the client was closed during the call")
        outcome = request.task.result()
        if isinstance(outcome, BaseException):
            raise _own_copy(outcome)
        return outcome

    def _refresh(
        self, key: TokenKey, options: CallOptions, create: Create, cached: _CachedToken, refresh_before: float
    ) -> None:
        """Request a new token in the background."""
        request = self._start(key, options, create, Context())  # not in the caller's: it is for all
        request.waiting += 1  # as if somebody waited: it goes on in any case
        request.task.add_done_callback(partial(_end_refresh, cached, refresh_before))

    def _start(
        self, key: TokenKey, options: CallOptions, create: Create, context: Context | None = None
    ) -> _InFlight:
        request = _InFlight(
            asyncio.create_task(_create(key, create), name="plivo-endpoints token", context=context)
        )
        self._requests[key, options] = request
        self._tasks.add(request.task)
        # Before the waiting callers are woken: callbacks run in the order in which they were added.
        request.task.add_done_callback(partial(self._finish, key, options, request))
        return request

    def _finish(
        self,
        key: TokenKey,
        options: CallOptions,
        request: _InFlight,
        task: asyncio.Task[_CachedToken | BaseException],
    ) -> None:
        self._tasks.discard(task)
        if self._requests.get((key, options)) is not request:  # invalidated or cancelled
            return
        del self._requests[key, options]
        outcome = None if task.cancelled() else task.result()
        if isinstance(outcome, _CachedToken):
            self._keep_better(key, outcome)

    def _keep_better(self, key: TokenKey, new: _CachedToken) -> None:
        old = self._tokens.get(key)
        if old is None or new.remaining() >= old.remaining():
            self._tokens[key] = new
        self._tokens.move_to_end(key)
        if len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)

    async def _cancel(self, key: TokenKey, options: CallOptions, request: _InFlight) -> None:
        # Removed first: later callers need another.
        if self._requests.get((key, options)) is request:
            del self._requests[key, options]
        request.task.cancel()
        await asyncio.wait({request.task})


async def _create(key: TokenKey, create: Create) -> _CachedToken | BaseException:
    wall, monotonic = CLOCK.wall(), CLOCK.monotonic()
    try:
        token = await create()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised to each caller
        return error
    lifetime = min(token.expires_at.timestamp() - wall, key.lifetime)
    return _CachedToken(token, lifetime, wall - CLOCK_SKEW, monotonic + lifetime)


def _own_copy(error: BaseException) -> BaseException:
    """Return an error that only one caller raises: its traceback and context would show the others'."""
    if not isinstance(error, PlivoError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own


def _end_refresh(
    cached: _CachedToken, refresh_before: float, task: asyncio.Task[_CachedToken | BaseException]
) -> None:
    cached.postpone_refresh(refresh_before)  # if it is still the better one
    error = None if task.cancelled() else task.result()
    if isinstance(error, BaseException):
        logger.warning("a cached token could not be refreshed: %s", error)

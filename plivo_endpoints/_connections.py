"""What a client and its views share, and how their operations reach the running loop's transport."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from plivo_endpoints._config import RateLimit
from plivo_endpoints._errors import NO_FORK, ClientStateError
from plivo_endpoints._events import Observer
from plivo_endpoints._middleware import RateLimited, RetryLoop
from plivo_endpoints._sansio.auth import account_secrets, proxy_secrets
from plivo_endpoints._sansio.codec import build_request
from plivo_endpoints._sansio.messages import Call
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints._sansio.retry import RetryBudget, RetryPolicy
from plivo_endpoints._shared_window import SharedWindow
from plivo_endpoints._token_cache import TokenCache

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    import aiohttp

    from plivo_endpoints._config import CallOptions, ConnectionSettings, Credentials
    from plivo_endpoints._events import Event
    from plivo_endpoints._models import Token
    from plivo_endpoints._request_models import RequestModel
    from plivo_endpoints._sansio.messages import Operation
    from plivo_endpoints._shared_window import RateLimitStore
    from plivo_endpoints._token_cache import TokenKey
    from plivo_endpoints._transport import AiohttpTransport

T = TypeVar("T")


@frozen
class LoopState:
    """What a client has for one event loop."""

    transport: AiohttpTransport
    retrying: RetryLoop
    tokens: TokenCache

    def abandon(self) -> None:
        """Close the connections when the loop is not running or is closed."""
        self.transport.abandon()
        self.retrying.close()

    async def aclose(self) -> None:
        """Close the connections, and forget the tokens."""
        try:
            await self.tokens.aclose()
        finally:  # also if the closing is cancelled
            await self.transport.aclose()
            self.retrying.close()


class Connections:
    """Connections, rate limit and retry budget, shared by a client and its views; one transport per loop."""

    def __init__(
        self,
        settings: ConnectionSettings,
        credentials: Credentials,
        *,
        rate_limit: RateLimit | RateLimitStore | None,
        ssl_context: ssl.SSLContext | None,
        session: aiohttp.ClientSession | None,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        # Importing aiohttp takes 0.2 s. It is imported here rather than with the package, and rather than at
        # the first call, which would block the running loop.
        from plivo_endpoints._transport import AiohttpTransport  # noqa: PLC0415

        self.credentials = credentials
        self.account_url: str = f"{settings.base_url}/v1/Account/{credentials.auth_id}/"
        self.closed: bool = False
        self._settings = settings
        self._make_transport = partial(
            AiohttpTransport, settings, credentials, ssl_context=ssl_context, session=session
        )
        self._session = session
        self._window: SlidingWindow | SharedWindow = (
            SlidingWindow(rate_limit)
            if rate_limit is None or isinstance(rate_limit, RateLimit)
            else SharedWindow(rate_limit, self.account_url)
        )
        self._budget = RetryBudget()
        self.observer: Observer = Observer(on_event, settings.base_url)
        self._pid: int | None = None  # of the first use; before that, a fork breaks nothing
        self._loops: dict[asyncio.AbstractEventLoop, LoopState] = {}

    @property
    def opened(self) -> bool:
        """Whether there may be open connections that are not the caller's."""
        return bool(self._loops) and self._session is None

    def secrets(self) -> tuple[str, ...]:
        """Return what errors must redact: the account's token and the proxy's credentials."""
        known = account_secrets(self.credentials)
        return known if self._settings.proxy is None else (*known, *proxy_secrets(self._settings.proxy))

    def running(self) -> LoopState:
        """Return what belongs to the running event loop."""
        if self.closed:
            raise ClientStateError("the client is closed")
        if self._pid is None:
            self._pid = os.getpid()
        elif os.getpid() != self._pid:
            raise ClientStateError(NO_FORK)
        loop = asyncio.get_running_loop()
        return self._loops.get(loop) or self._connect(loop)

    def _connect(self, loop: asyncio.AbstractEventLoop) -> LoopState:
        self._drop_idle_loops(closed_only=True)
        transport = self._make_transport()
        limited = RateLimited(
            transport.send, self._window, self.observer, connections=self._settings.max_connections
        )
        retrying = RetryLoop(
            limited.send,
            window=self._window,
            budget=self._budget,
            observer=self.observer,
            policy=RetryPolicy(),
        )
        self._loops[loop] = made = LoopState(transport, retrying, TokenCache())
        return made

    async def aclose(self) -> None:
        """Close the connections of this loop and of loops that do not run, and refuse further calls."""
        self.closed = True
        own = self._loops.pop(asyncio.get_running_loop(), None)
        self._drop_idle_loops(closed_only=False)
        self._loops.clear()  # a loop that runs in another thread closes its session itself
        if own is not None:
            await own.aclose()

    def invalidate_tokens(self, sub: str | None) -> None:
        """Forget the tokens of a `sub`, or all: in this loop now, in others in their next iteration."""
        own = self.running()
        for loop, state in list(self._loops.items()):
            if state is own:
                state.tokens.invalidate(sub)
            else:
                with suppress(RuntimeError):  # closed
                    loop.call_soon_threadsafe(state.tokens.invalidate, sub)

    def forget_closed_loops(self) -> None:
        """Forget what belongs to loops that are closed."""
        self._drop_idle_loops(closed_only=True)

    def _drop_idle_loops(self, *, closed_only: bool) -> None:
        for loop in list(self._loops):  # a copy: other threads add and remove loops
            if loop.is_closed() or not (closed_only or loop.is_running()):
                dropped = self._loops.pop(loop, None)
                if dropped is not None:
                    dropped.abandon()


class Executor:
    """Executes operations on a client's connections, with the limits of the client or of a view."""

    def __init__(self, connections: Connections, options: CallOptions) -> None:
        self._connections = connections
        self._options = options

    @property
    def auth_id(self) -> str:
        """The account's id."""
        return self._connections.credentials.auth_id

    async def cached_token(
        self, key: TokenKey, create: Callable[[], Coroutine[Any, Any, Token]], refresh_before: float
    ) -> Token:
        """Return a token that the client caches for the running loop; see `TokenCache.get`."""
        return await self._connections.running().tokens.get(key, self._options, create, refresh_before)

    def invalidate_tokens(self, sub: str | None) -> None:
        """Forget the tokens of a `sub`, or all, in every loop."""
        self._connections.invalidate_tokens(sub)

    def execute(
        self,
        operation: Operation[T],
        argument: RequestModel | None = None,
        *,
        query: Mapping[str, int | str] | None = None,
        before_send: Callable[[], Awaitable[float]] | None = None,
        **ids: str,
    ) -> Coroutine[Any, Any, T]:
        """Execute an operation, with retries where they are safe, and return its result.

        Args:
            operation: The operation.
            argument: The body of the request.
            query: The query string of the URL.
            before_send: Awaited in every attempt, just before sending; it returns the monotonic time by which
                the request must be sent. If it raises, nothing is sent.
            ids: Values for the placeholders in the operation's path.
        """
        request = build_request(operation, self._connections.account_url, argument, query, ids)
        retrying = self._connections.running().retrying
        secrets = self._connections.secrets
        return retrying.execute(Call(operation, request, argument, self._options, before_send, secrets))

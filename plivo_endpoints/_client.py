"""The clients: wiring and lifetime, nothing else."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve

from plivo_endpoints._config import DEFAULT_RATE, CallOptions, Unpicklable, conceal, conceal_token
from plivo_endpoints._connections import Connections, Executor
from plivo_endpoints._resources.blocking import Endpoints, Tokens
from plivo_endpoints._resources.endpoints import AsyncEndpoints
from plivo_endpoints._resources.tokens import AsyncTokens
from plivo_endpoints._runner import Runner
from plivo_endpoints._validation import check_callable
from plivo_endpoints._wiring import connect

if TYPE_CHECKING:
    import ssl
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from types import TracebackType

    import aiohttp

    from plivo_endpoints._config import Priority, RateLimit
    from plivo_endpoints._events import Event
    from plivo_endpoints._shared_window import RateLimitStore


def _changed(
    options: CallOptions, timeout: float | None, max_attempts: int | None, priority: Priority | None
) -> CallOptions:
    changes = {"timeout": timeout, "max_attempts": max_attempts, "priority": priority}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    return evolve(options, **given)


def _show(client: AsyncClient | Client) -> str:
    # A client whose constructor raised has no connections, but crash reporters show its repr too.
    connections: Connections | None = getattr(client, "_connections", None)
    return f"<{type(client).__name__} {connections.account_url if connections else 'not connected'}>"


class AsyncClient(Unpicklable):
    """An asyncio client for one Plivo account.

    ```python
    async with AsyncClient() as client:
        made = await client.endpoints.create(username="alice", password="s3cret", alias="front-desk")
        token = await client.tokens.create(sub=made.username, outgoing_allow=True)
    ```

    Safe to share between tasks. A client can be created outside a loop and used in several loops; each loop
    has its own connections. Without `async with`, call `close()`.

    Args:
        auth_id: Auth id of the account or subaccount. If neither it nor the token is given, both are read
            from `PLIVO_AUTH_ID` and `PLIVO_AUTH_TOKEN`.
        auth_token: Its auth token, or a function that returns the current one. It is called for each attempt,
            in the event loop's thread, so that a token can be replaced without a restart.
        base_url: Origin and optional path of another server. Defaults to `PLIVO_BASE_URL`, then to Plivo.
            Must be https, or http on loopback.
        allow_http: Allow http to other hosts too, such as a sandbox in another container. Anyone on the
            network path can then read the credentials. `PLIVO_ALLOW_HTTP=1` in the environment does the same.
        timeout: Seconds for a whole call: rate limit, connecting, all attempts and the pauses between them.
            When iterating over a list, it applies to each page.
        max_attempts: Maximum number of attempts per call, not counting those that Plivo refused with 429. A
            create that may have been carried out is never retried.
        rate_limit: A `RateLimit` of this client alone, or one that several processes share, such as a
            `SharedRateLimit` or `PostgresRateLimit`; `None` turns it off. Defaults to the shared one whose
            file or URL is in `PLIVO_RATE_LIMIT`, then to `RateLimit()`.
        max_connections: Maximum number of connections in each loop.
        max_body: Maximum size of a response body in bytes, before and after decompression.
        proxy: URL of an HTTP proxy, or "environment" to read `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` once,
            when the client is created. The environment never applies to a server on loopback.
        ssl_context: Replaces aiohttp's default verification.
        session: An `aiohttp.ClientSession` to use; it is neither changed nor closed. It must not have `auth`.
            Its middlewares are not run, since one could send a create again.
        on_event: Called with an `Event` at the start and end of each call, attempt and provisioning run, for
            metrics and tracing, for example `plivo_endpoints.opentelemetry.OpenTelemetry()`. Exceptions that
            it raises are logged and ignored.

    Raises:
        InvalidArgumentError: If an argument or an environment variable is invalid.
    """

    if TYPE_CHECKING:
        endpoints: AsyncEndpoints
        tokens: AsyncTokens
    else:  # for `help` and mocks, which look at the class; each client has its own
        endpoints = AsyncEndpoints
        tokens = AsyncTokens

    def __init__(
        self,
        auth_id: str | None = None,
        auth_token: str | Callable[[], str] | None = None,
        *,
        base_url: str | None = None,
        allow_http: bool = False,
        timeout: float = 30.0,
        max_attempts: int = 3,
        rate_limit: RateLimit | RateLimitStore | None = DEFAULT_RATE,
        max_connections: int = 100,
        max_body: int = 2**20,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        connections = connect(
            conceal(auth_id),
            conceal_token(auth_token),
            base_url=conceal(base_url),
            allow_http=allow_http,
            max_connections=max_connections,
            max_body=max_body,
            proxy=conceal(proxy),
            rate_limit=rate_limit,
            ssl_context=ssl_context,
            session=session,
            on_event=on_event,
        )
        self._set_up(connections, CallOptions(timeout=timeout, max_attempts=max_attempts), root=None)

    def _set_up(self, connections: Connections, options: CallOptions, *, root: AsyncClient | None) -> None:
        self._connections = connections
        self._options = options
        self._root = root  # the client this is a view of; held so that it still warns if nobody closes it
        executor = Executor(connections, options)
        self.endpoints = AsyncEndpoints(executor)
        self.tokens = AsyncTokens(executor)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        priority: Priority | None = None,
    ) -> AsyncClient:
        """Return a view with other options that shares connections, rate limit and retry budget.

        With the priority "bulk", its requests wait as long as there are others that wait for the rate limit.

        Closing a view does nothing: it is closed with its client.
        """
        view = AsyncClient.__new__(AsyncClient)
        view._set_up(  # noqa: SLF001 - a view is of the same class
            self._connections,
            _changed(self._options, timeout, max_attempts, priority),
            root=self._root or self,
        )
        return view

    async def close(self) -> None:
        """Close the connections; later calls raise `ClientStateError`. Closing twice is no error."""
        if self._root is None:
            await self._connections.aclose()

    aclose = close  # the name that anyio, httpx and async generators use

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return _show(self)

    def __del__(self) -> None:
        connections: Connections | None = getattr(self, "_connections", None)
        if connections is not None and self._root is None and connections.opened:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)


class Client(Unpicklable):
    """A blocking client for one Plivo account: the same API, without `async` and `await`.

    ```python
    with Client() as client:
        made = client.endpoints.create(username="alice", password="s3cret", alias="front-desk")
    ```

    Safe to share between threads. Calls run on an event loop in a background thread, which the first call
    starts. Ctrl-C cancels a call. If that was a create that may have been sent, the `KeyboardInterrupt` has
    an `OutcomeUnknownError` as its cause. The client works inside a running event loop, but blocks it; use
    `AsyncClient` there. A client that is never closed closes itself when it is garbage-collected.

    Args:
        auth_id: Auth id of the account or subaccount. If neither it nor the token is given, both are read
            from `PLIVO_AUTH_ID` and `PLIVO_AUTH_TOKEN`.
        auth_token: Its auth token, or a function that returns the current one. It is called for each attempt,
            in the event loop's thread, so that a token can be replaced without a restart.
        base_url: As for `AsyncClient`; the same goes for the arguments below.
        allow_http: Allow http to hosts other than this machine too.
        timeout: Seconds for a whole call.
        max_attempts: Maximum number of attempts per call.
        rate_limit: A `RateLimit` of this client alone, a shared one, or `None`.
        max_connections: Maximum number of connections.
        max_body: Maximum size of a response body in bytes.
        proxy: URL of an HTTP proxy, or "environment".
        ssl_context: Replaces aiohttp's default verification.
        on_event: Called with each event, in the loop's thread.
        loop_factory: Creates the event loop, for example `uvloop.new_event_loop`. Defaults to asyncio's loop.

    Raises:
        InvalidArgumentError: If an argument or an environment variable is invalid.
    """

    if TYPE_CHECKING:
        endpoints: Endpoints
        tokens: Tokens
    else:  # for `help` and mocks, which look at the class; each client has its own
        endpoints = Endpoints
        tokens = Tokens

    def __init__(
        self,
        auth_id: str | None = None,
        auth_token: str | Callable[[], str] | None = None,
        *,
        base_url: str | None = None,
        allow_http: bool = False,
        timeout: float = 30.0,
        max_attempts: int = 3,
        rate_limit: RateLimit | RateLimitStore | None = DEFAULT_RATE,
        max_connections: int = 100,
        max_body: int = 2**20,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        on_event: Callable[[Event], None] | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> None:
        connections = connect(
            conceal(auth_id),
            conceal_token(auth_token),
            base_url=conceal(base_url),
            allow_http=allow_http,
            max_connections=max_connections,
            max_body=max_body,
            proxy=conceal(proxy),
            rate_limit=rate_limit,
            ssl_context=ssl_context,
            on_event=on_event,
        )
        options = CallOptions(timeout=timeout, max_attempts=max_attempts)
        check_callable("loop_factory", loop_factory)
        self._set_up(connections, options, Runner(loop_factory), is_view=False)

    def _set_up(
        self, connections: Connections, options: CallOptions, runner: Runner, *, is_view: bool
    ) -> None:
        self._connections = connections
        self._options = options
        self._runner = runner
        self._is_view = is_view
        executor = Executor(connections, options)
        self.endpoints = Endpoints(AsyncEndpoints(executor), runner)
        self.tokens = Tokens(AsyncTokens(executor), runner)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        priority: Priority | None = None,
    ) -> Client:
        """Return a view with other options that shares connections, rate limit and retry budget.

        With the priority "bulk", its requests wait as long as there are others that wait for the rate limit.

        Closing a view does nothing: it is closed with its client.
        """
        view = Client.__new__(Client)
        options = _changed(self._options, timeout, max_attempts, priority)
        view._set_up(self._connections, options, self._runner, is_view=True)  # noqa: SLF001 - same class
        return view

    def close(self) -> None:
        """Close connections and thread; later calls raise `ClientStateError`. Closing twice is no error."""
        if not self._is_view:
            self._runner.close()
            self._connections.forget_closed_loops()  # and the tokens with them

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return _show(self)

"""The transport, on aiohttp: sends one request, once.

Two facts matter more than the response: whether a request was sent, and how often. A body records that its
first byte is about to be written (aiohttp holds the headers back until then) and refuses to be written twice:
see `_request_body.py`. Requests without a body may be repeated, and aiohttp's own tracker counts them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import select
import ssl
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, cast
from weakref import ref

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._errors import (
    ClientStateError,
    ConnectError,
    InvalidArgumentError,
    PlivoError,
    TransportError,
)
from plivo_endpoints._request_body import UNUSABLE, Body, ExchangeError, ListeningHandler
from plivo_endpoints._sansio.auth import authorization
from plivo_endpoints._sansio.compression import decompress
from plivo_endpoints._sansio.messages import Attempt, Request, Response
from plivo_endpoints._sansio.retry import parse_retry_after
from plivo_endpoints._threads import native_poll
from plivo_endpoints._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from plivo_endpoints._config import ConnectionSettings, Credentials


USER_AGENT: Final = f"plivo-endpoints/{__version__} (Python: {platform.python_version()})"
_FIRST_ERROR: Final = 400  # responses with this status or above may have a Retry-After
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the call has its own, which covers the retries too
_KEEP_ALIVE: Final = 15.0  # seconds; well below that of servers, or a POST meets a closing connection


_MESSAGES: Final[dict[type[Exception], str]] = {
    ExchangeError: "",
    aiohttp.ClientPayloadError: "the response ended early",
    aiohttp.ServerDisconnectedError: "the server closed the connection without a response",
}


# Our own sessions. Not a `WeakSet`: an interrupt while it removes an item would be lost.
_SESSIONS: Final[list[ref[aiohttp.ClientSession]]] = []


class _Hidden(str):
    """A header's value that `repr` does not show; aiohttp sends the string itself.

    It is made once and kept: aiohttp would store a value made per request in that request's headers too.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<hidden>'"


async def _let_loop_read() -> None:
    """Let the loop read what has arrived, so that it is known which connections the server has closed."""
    # The next iteration of the loop polls, but first runs what was scheduled earlier, such as this.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class _Connector(aiohttp.TCPConnector):
    """Hands out no connection that the server has closed, and none with unread data.

    The next request would be lost on the former, and would take the latter for its response.
    """

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)  # pyright: ignore[reportUnknownMemberType]
        # There is no public way to set it. A test checks that this one still works.
        self._factory = cast("partial[ResponseHandler]", partial(ListeningHandler, loop=self._loop))
        self._make_poll = native_poll()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        for _ in range(self.limit + 1):  # the pool holds at most `limit`; after those comes a new one
            connection = await super().connect(req, traces, timeout)
            if self._may_have_input(connection.transport):
                try:
                    await _let_loop_read()
                except BaseException:
                    connection.close()
                    raise
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                if isinstance(protocol, ListeningHandler):
                    protocol.answered = protocol.received
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError

    def _may_have_input(self, transport: asyncio.Transport | None) -> bool:
        """Whether the server may have closed a connection, or sent data on it, that the loop has not read."""
        if self._make_poll is None or transport is None or transport.is_closing():
            return True
        poll = self._make_poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))


class AiohttpTransport:
    """One loop's connections to Plivo, opened by the first call."""

    def __init__(
        self,
        settings: ConnectionSettings,
        credentials: Credentials,
        *,
        ssl_context: ssl.SSLContext | None,
        session: aiohttp.ClientSession | None,
    ) -> None:
        self._settings = settings
        self._ssl = True if ssl_context is None else ssl_context
        self._headers = CIMultiDict(
            {
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # responses are small
            }
        )
        self._credentials = credentials
        self._rotating = credentials.auth_token.rotates
        if not self._rotating:
            self._headers["Authorization"] = _Hidden(authorization(credentials))
        if session is not None and session._loop is not asyncio.get_running_loop():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            raise ClientStateError("the session belongs to another event loop")
        self._session = session
        # The caller's session must not be changed, so our headers are sent with each request.
        self._extra_headers = None if session is None else self._headers
        self._scope: AsyncGenerator[aiohttp.ClientSession] | None = None
        self._heard: set[asyncio.BaseProtocol] = set()  # connections on which a create has waited for data
        self._closed = False

    async def send(self, request: Request, attempt: Attempt) -> Response:
        """Return the response, or raise `TransportError`; record the progress in `attempt`."""
        session = self._session or await self._open()
        headers = self._request_headers(request, attempt) if self._rotating else self._extra_headers
        if self._extra_headers is not None and request.body is not None:
            await _let_loop_read()  # the caller's connector does not do that when it hands out a connection
        body = None if request.body is None else Body(request.body, attempt, self._heard)
        tracker = None if body is not None else aiohttp.UploadTracker()
        try:
            response = await session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,  # neither the credentials nor a POST may go elsewhere
                raise_for_status=False,  # whatever the caller's session is set to
                middlewares=(),  # one could send a create again, or replace its body
                auto_decompress=False,
                timeout=_NO_TIMEOUT,
                # Revealed only here: it may hold a password, which an attribute would show.
                proxy=None if self._settings.proxy is None else URL(self._settings.proxy.reveal()),
                ssl=self._ssl,
                upload_tracker=tracker,
            )
            if body is not None and not attempt.sent:
                response.close()  # it came before the request, so it is not the response to it
                raise ExchangeError(UNUSABLE)  # noqa: TRY301 - handled like aiohttp's errors
            attempt.sent, attempt.status = True, response.status
            content, complete, encoding = await _read_body(response, self._settings.max_body, body)
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None)  # noqa: B904 - aiohttp's frames hold the Authorization header
        except Exception as error:  # noqa: BLE001 - a response can make aiohttp raise anything
            problem = _describe(error)
        else:
            return Response(response.status, content, complete, _retry_after(response), encoding)
        finally:
            body = None  # it may hold a password, and a traceback may show locals
            if tracker is not None:
                _note_upload(tracker, attempt)
        # Raised outside `except`: aiohttp's exceptions hold the request, whose repr shows its Authorization.
        raise _failure(problem, request, attempt, session)

    def _request_headers(self, request: Request, attempt: Attempt) -> CIMultiDict[str]:
        """Return headers with the auth token of this moment."""
        headers = self._headers.copy()
        try:
            headers["Authorization"] = _Hidden(authorization(self._credentials))
        except InvalidArgumentError as error:
            if attempt.number == 1:
                raise
            # An earlier attempt may have been carried out, so the retry rules have to choose the error.
            raise ConnectError(str(error), method=request.method, path=request.path) from error.__cause__
        return headers

    async def _open(self) -> aiohttp.ClientSession:
        if self._closed:  # closed while the call waited for the rate limit
            raise ClientStateError("the client is closed")
        self._scope = _session_scope(self._settings, self._headers)
        self._session = await anext(self._scope)
        return self._session

    def abandon(self) -> None:
        """Close the session, if it is ours, when its loop is not running or is closed."""
        self._closed = True
        if self._scope is not None and self._session is not None and self._session.connector is not None:
            # The public `close` needs a running loop. A test checks that this one still works.
            self._session.connector._close(abort_ssl=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._session.detach()
            with suppress(StopIteration):  # it has nothing left to await
                self._scope.aclose().send(None)

    async def aclose(self) -> None:
        """Close the session, if it is ours, and never open another."""
        self._closed = True
        if self._scope is not None:
            await self._scope.aclose()


async def _session_scope(
    settings: ConnectionSettings, headers: CIMultiDict[str]
) -> AsyncGenerator[aiohttp.ClientSession]:
    # An async generator, because a loop closes those still open when it shuts down. So a client that is used
    # in several calls of `asyncio.run`, or never closed, leaves no connection open, and aiohttp has nothing
    # to warn about.
    async with aiohttp.ClientSession(
        connector=_Connector(limit=settings.max_connections, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
    ) as session:
        # aiohttp would retry a GET or DELETE by itself, bypassing the rate limit and the retry budget.
        # There is no public switch; a test checks that this one still works.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        _SESSIONS[:] = [*(known for known in _SESSIONS if known() is not None), ref(session)]
        yield session


def _forget_sessions() -> None:
    # After a fork, the child's connections are the parent's. If they were kept, aiohttp would warn at exit.
    # If they were closed, they would be removed from the selector of the parent's loop, which both share.
    for session in [known() for known in _SESSIONS]:
        if session is not None and session.connector is not None:
            session.connector._conns.clear()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            session.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_sessions)


async def _read_body(
    response: aiohttp.ClientResponse, limit: int, request_body: Body | None
) -> tuple[bytes, bool, str | None]:
    """Return the body, whether it is complete, and its encoding if it could not be decompressed.

    The limit applies before and after decompression. Beyond it, the connection is closed.
    """
    length = response.content_length
    chunks: list[bytes] = []
    size = 0
    try:
        while size != length and (chunk := await response.content.readany()):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
    except BaseException:
        response.close()
        raise
    # Checked here: the caller's frame is in the error's traceback and would show the content.
    if request_body is not None and request_body.was_answered_twice:
        raise ExchangeError("the server sent more than one response")
    body = b"".join(chunks)
    if size > limit:
        response.close()
        return body[:limit], False, None
    if "Content-Encoding" not in response.headers:
        return body, True, None
    encoding = ", ".join(response.headers.getall("Content-Encoding"))
    if not encoding or encoding.lower() == "identity":
        return body, True, None
    content = decompress(body, encoding, limit)
    return (body, True, encoding) if content is None else (*content, None)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = None if response.status < _FIRST_ERROR else response.headers.get("Retry-After")
    return None if value is None else parse_retry_after(value, CLOCK.wall())


def _note_upload(tracker: aiohttp.UploadTracker, attempt: Attempt) -> None:
    outcome = tracker.upload_complete
    attempt.replays = max(0, tracker.attempts - 1)
    if attempt.replays or (outcome.done() and not outcome.cancelled() and outcome.exception() is None):
        attempt.phase, attempt.sent = "response", True


def _failure(
    problem: str | PlivoError, request: Request, attempt: Attempt, session: aiohttp.ClientSession
) -> BaseException:
    if attempt.before_send_error is not None:
        return attempt.before_send_error
    if attempt.sent:
        return TransportError(str(problem), method=request.method, path=request.path, sent="unknown")
    if session.closed:
        return ClientStateError("the session is closed")
    if isinstance(problem, PlivoError):
        return problem
    return ConnectError(problem, method=request.method, path=request.path)


def _describe(error: Exception) -> str | PlivoError:
    """Return what went wrong, or the error to raise if the caller is at fault.

    The text is ours or the system's: aiohttp's can quote the response or the URL, which can hold a secret.
    """
    if isinstance(error.__cause__, ExchangeError):  # raised by a body and wrapped by aiohttp
        error = error.__cause__
    for kind, message in _MESSAGES.items():
        if isinstance(error, kind):
            return message or str(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, ValueError) and str(error).startswith("Cannot combine AUTHORIZATION"):
        rule = "must not add credentials: it was created with auth=, or with trust_env=True and a .netrc"
        return InvalidArgumentError("session", rule)
    if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
        return ClientStateError("cannot resolve the host name: the interpreter is shutting down")
    return _system_message(error) or f"the request failed ({type(error).__name__})"


def _system_message(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{reason}; to trust another CA, set SSL_CERT_FILE or pass ssl_context="
    if error.errno and reason.startswith("Connect call failed"):  # asyncio's text; it repeats the address
        return os.strerror(error.errno)
    return reason

"""The wire: one request, sent once. The only client module that imports aiohttp.

Two facts matter more than the answer: whether a request left, and how often. A body notes that its first byte
is about to be written (aiohttp holds the headers back until then) and refuses to be written twice: see
`_request_body.py`. Requests without a body may be repeated, and aiohttp's own tracker counts them.
"""

from __future__ import annotations

import asyncio
import os
import platform
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
from plivo_endpoints._request_body import SPOILT, Body, ExchangeError, ListeningHandler, Turns
from plivo_endpoints._sansio.auth import authorization
from plivo_endpoints._sansio.compression import decompress
from plivo_endpoints._sansio.messages import Attempt, Request, Response
from plivo_endpoints._sansio.retry import parse_retry_after
from plivo_endpoints._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from plivo_endpoints._config import ConnectionSettings, Credentials


USER_AGENT: Final = f"plivo-endpoints/{__version__} (Python: {platform.python_version()})"
_REFUSALS: Final = 400  # statuses from here on may say when to try again
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the call has its own, which covers the retries too
_KEEP_ALIVE: Final = 15.0  # seconds; well below what servers grant, or a POST meets a closing connection


_SAID: Final[dict[type[Exception], str]] = {
    ExchangeError: "",
    aiohttp.ClientPayloadError: "the answer broke off",
    aiohttp.ServerDisconnectedError: "the server closed the connection without an answer",
}


# Our own. No `WeakSet`: the interrupt of a signal that comes while that forgets something is lost.
_SESSIONS: Final[list[ref[aiohttp.ClientSession]]] = []


class _Hidden(str):
    """A header's value that what prints objects does not show; aiohttp sends the string that it is.

    It is kept ready-made, for aiohttp puts what is made for one request into that request's headers too.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<hidden>'"


class _Connector(aiohttp.TCPConnector):
    """Hands out no connection on which an answer waits: the next request would take it for its own."""

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)  # pyright: ignore[reportUnknownMemberType]
        # There is no public way to choose it. A test holds this one to its meaning.
        self._factory = cast("partial[ResponseHandler]", partial(ListeningHandler, loop=self._loop))

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        for _ in range(self.limit + 1):  # as many may wait in the pool, and then a new one comes
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                if isinstance(protocol, ListeningHandler):
                    protocol.answered = protocol.received
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError


class AiohttpTransport:
    """One loop's connections to Plivo, opened at the first call."""

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
                "Authorization": _Hidden(authorization(credentials)),
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # answers are small
            }
        )
        if session is not None and session._loop is not asyncio.get_running_loop():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            raise ClientStateError("the session belongs to another event loop")
        self._session = session
        # A session of the caller's is not ours to change, so our headers go with each request.
        self._extra_headers = None if session is None else self._headers
        self._scope: AsyncGenerator[aiohttp.ClientSession] | None = None
        self._turns = Turns()
        self._heard: set[asyncio.BaseProtocol] = set()  # connections that a create has listened to
        self._closed = False

    async def send(self, request: Request, attempt: Attempt) -> Response:
        """Return the answer, noting in `attempt` what is learnt on the way; or raise `TransportError`."""
        session = self._session or await self._open()
        if request.body is not None:
            await self._turns.let_loop_poll()
        body = None if request.body is None else Body(request.body, attempt, self._heard)
        tracker = None if body is not None else aiohttp.UploadTracker()
        try:
            answer = await session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=self._extra_headers,
                data=body,
                allow_redirects=False,  # the credentials, and a POST, stay where they were sent
                raise_for_status=False,  # whatever the caller's session would do
                middlewares=(),  # likewise: one could send a create again, or another body in its place
                auto_decompress=False,
                timeout=_NO_TIMEOUT,
                # Read here, for it may hold a password, which this object would show.
                proxy=None if self._settings.proxy is None else URL(self._settings.proxy.reveal()),
                ssl=self._ssl,
                upload_tracker=tracker,
            )
            if body is not None and not attempt.sent:
                answer.close()  # it came before the question, so it answers another
                raise ExchangeError(SPOILT)  # noqa: TRY301 - as if aiohttp had
            attempt.sent, attempt.status = True, answer.status
            content, complete, encoding = await _read_body(answer, self._settings.max_body, body)
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None)  # noqa: B904 - aiohttp's frames hold the Authorization header
        except Exception as error:  # noqa: BLE001 - an answer can make aiohttp raise anything
            problem = _describe(error)
        else:
            return Response(answer.status, content, complete, _retry_after(answer), encoding)
        finally:
            body = None  # it may hold a password, and a traceback may show locals
            if tracker is not None:
                _note_upload(tracker, attempt)
        # Raised out here: aiohttp's exceptions hold the request, whose repr prints the Authorization header.
        raise _failure(problem, request, attempt, session)

    async def _open(self) -> aiohttp.ClientSession:
        if self._closed:  # while the call waited for the rate limit
            raise ClientStateError("the client is closed")
        self._scope = _session_scope(self._settings, self._headers)
        self._session = await anext(self._scope)
        return self._session

    def abandon(self) -> None:
        """Close the session, if it is ours, where its loop does not run, or will never again."""
        self._closed = True
        if self._scope is not None and self._session is not None and self._session.connector is not None:
            # The public `close` wants a loop that runs. A test holds this one to its meaning.
            self._session.connector._close(abort_ssl=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._session.detach()
            with suppress(StopIteration):  # nothing is left in it to wait for
                self._scope.aclose().send(None)

    async def aclose(self) -> None:
        """Close the session, if it is ours, and open none any more."""
        self._closed = True
        if self._scope is not None:
            await self._scope.aclose()


async def _session_scope(
    settings: ConnectionSettings, headers: CIMultiDict[str]
) -> AsyncGenerator[aiohttp.ClientSession]:
    # An async generator, because a loop closes those still open when it shuts down: a client that is used in
    # one asyncio.run after another, or forgotten, leaves no connection behind, and aiohttp has no complaint.
    async with aiohttp.ClientSession(
        connector=_Connector(limit=settings.max_connections, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
    ) as session:
        # aiohttp would send a GET or DELETE again by itself, unseen by the rate limit and the retry budget.
        # There is no public switch; a test holds this one to its meaning.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        _SESSIONS[:] = [*(known for known in _SESSIONS if known() is not None), ref(session)]
        yield session


def _forget_sessions() -> None:
    # What a child has after a fork is the parent's. Left as it is, aiohttp would complain of it at the end;
    # closed, it would be taken out of the parent's loop, whose selector both share.
    for session in [known() for known in _SESSIONS]:
        if session is not None and session.connector is not None:
            session.connector._conns.clear()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            session.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_sessions)


async def _read_body(
    answer: aiohttp.ClientResponse, limit: int, asked: Body | None
) -> tuple[bytes, bool, str | None]:
    """Return the body, whether that is all of it, and its encoding if that is one that cannot be undone.

    The limit holds for what came and for what that is decompressed. Beyond it the connection is dropped.
    """
    length = answer.content_length
    chunks: list[bytes] = []
    size = 0
    try:
        while size != length and (chunk := await answer.content.readany()):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
    except BaseException:
        answer.close()
        raise
    # Checked here: the caller's frame is in the error's traceback, and would show what it has read.
    if asked is not None and asked.was_answered_twice:
        raise ExchangeError("the server sent more than one answer")
    body = b"".join(chunks)
    if size > limit:
        answer.close()
        return body[:limit], False, None
    if "Content-Encoding" not in answer.headers:
        return body, True, None
    encoding = ", ".join(answer.headers.getall("Content-Encoding"))
    if not encoding or encoding.lower() == "identity":
        return body, True, None
    content = decompress(body, encoding, limit)
    return (body, True, encoding) if content is None else (*content, None)


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    value = None if answer.status < _REFUSALS else answer.headers.get("Retry-After")
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
    """Return what went wrong on the way, or the error of a caller who could have known before.

    Only our words and the system's: aiohttp's can quote the answer or the URL, and those can hold a secret.
    """
    if isinstance(error.__cause__, ExchangeError):  # raised by a body, and wrapped
        error = error.__cause__
    for kind, said in _SAID.items():
        if isinstance(error, kind):
            return said or str(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, ValueError) and str(error).startswith("Cannot combine AUTHORIZATION"):
        said = "must not log in by itself: it was made with auth=, or with trust_env=True and a .netrc"
        return InvalidArgumentError("session", said)
    if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
        return ClientStateError("cannot resolve the host name: the interpreter is shutting down")
    return _system_words(error) or f"the exchange failed ({type(error).__name__})"


def _system_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""


def _reason(error: OSError) -> str:
    said = error.strerror or str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{said}; to trust another CA, set SSL_CERT_FILE or pass ssl_context="
    if error.errno and said.startswith("Connect call failed"):  # asyncio's words; they repeat the address
        return os.strerror(error.errno)
    return said

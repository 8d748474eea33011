"""What the client tells while things go wrong: events, log lines, and nothing that a server could forge."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import aiohttp
import aiohttp.abc
import anyio
import pytest
from multidict import CIMultiDict

from plivo_endpoints import (
    APIError,
    AsyncClient,
    AttemptFinished,
    CallFinished,
    ClientStateError,
    ConnectError,
    CreatedEndpoint,
    Event,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RunFinished,
    RunPhaseStarted,
    RunStarted,
    ServerError,
    TransportError,
)
from tests.faults.account import AUTH_ID, SEED, Step
from tests.faults.kinds import KINDS, Fault, cut, instead
from tests.faults.wire import Wire, make_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox
    from tests.faults.account import Account
    from tests.faults.server import FaultServer

_BY_NAME: Final = {fault.name: fault for fault in KINDS}
FORGED: Final = make_answer(
    404,
    "No",
    b'{"api_id": "a\\u001b[2J", "error": "gone\\n2026-01-01 ERROR root: forged\\r\\u001b[31m\\u202e"}',
)


async def test_one_event_for_each_attempt_and_call(faults: FaultServer) -> None:
    """In order, and with what is known of each."""
    account, url = faults.account()
    account.play([Step(_BY_NAME["503"], applied=False), Step(_BY_NAME["RST mid body"], applied=True)])
    events: list[Event] = []
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=events.append) as client:
        await client.endpoints.get(SEED)
    told = [
        (type(event).__name__, getattr(event, "outcome", None), getattr(event, "status", None), event.path)
        for event in events
        if not isinstance(event, RunStarted | RunPhaseStarted | RunFinished)
    ]
    path = "Endpoint/{endpoint_id}/"
    assert told == [
        ("CallStarted", None, None, path),
        ("AttemptStarted", None, None, path),
        ("AttemptFinished", "ambiguous", 503, path),
        ("AttemptStarted", None, None, path),
        ("AttemptFinished", "ambiguous", 200, path),
        ("AttemptStarted", None, None, path),
        ("AttemptFinished", "done", 200, path),
        ("CallFinished", None, None, path),
    ]
    assert {event.operation for event in events} == {"endpoints.get"}
    assert [event.attempt for event in events if isinstance(event, AttemptFinished)] == [1, 2, 3]


async def test_a_replay_of_the_callers_session_is_counted(faults: FaultServer) -> None:
    """What aiohttp sends again by itself is told of as a further attempt, as the server saw it."""
    account, url = faults.account()
    account.play([Step(Fault("dropped", cut(0, Wire.fin)), applied=True)])
    events: list[Event] = []
    async with aiohttp.ClientSession() as session:
        client = AsyncClient(AUTH_ID, "t", base_url=url, session=session, on_event=events.append)
        await client.endpoints.delete(SEED)
    attempts = [event for event in events if isinstance(event, AttemptFinished)]
    assert [(event.attempt, event.path) for event in attempts] == [(1, "Endpoint/{endpoint_id}/")]
    assert [event.attempts for event in events if isinstance(event, CallFinished)] == [2]
    assert len(account.arrivals) == 2


async def test_a_session_of_our_own_replays_nothing(faults: FaultServer) -> None:
    """Each send is an attempt that the retry rules, the rate limit and the budget know of."""
    account, url = faults.account()
    account.play([Step(Fault("dropped", cut(0, Wire.fin)), applied=True)])
    events: list[Event] = []
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=events.append) as client:
        await client.endpoints.delete(SEED)
    attempts = [event for event in events if isinstance(event, AttemptFinished)]
    assert [(event.outcome, event.attempt) for event in attempts] == [("ambiguous", 1), ("refused", 2)]
    assert len(account.arrivals) == 2


async def test_the_middlewares_of_a_session_of_the_callers(sandbox: Sandbox) -> None:
    """They are left out: one could send a create again, or put another body in the place of ours."""

    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        await request.update_body(b'{"username": "mallory", "password": "s3cret", "alias": "desk"}')
        await handler(request)
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[sign]) as session:
        client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, session=session)
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert sandbox.applied_creates == {"alice": 1}


async def test_what_a_session_of_the_callers_raises(faults: FaultServer) -> None:
    """Its trace may raise anything; what comes out is ours, and says that nothing left."""

    async def fail(*_: object) -> None:
        raise ValueError("not today")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(fail)
    _, url = faults.account()
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        client = AsyncClient(AUTH_ID, "t", base_url=url, session=session)
        with pytest.raises(ConnectError) as caught:
            await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert (caught.value.sent, caught.value.__context__) == ("no", None)


async def test_a_proxy_that_echoes_its_login() -> None:
    """Its password is hidden like the account's."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        login = b64encode(b"me:pr0xy/pass").decode()
        writer.write(make_answer(407, "Refused", f"no me:pr0xy/pass, no {login}".encode()).encode())
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        proxy = f"http://me:pr0xy%2Fpass@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = AsyncClient(AUTH_ID, "t0ken", base_url="http://h", allow_http=True, proxy=proxy)
        async with client:
            with pytest.raises(APIError, match=r"no me:\[secret\], no \[secret\]"):
                await client.endpoints.create(username="alice", password="s3cret", alias="desk")


async def test_a_session_that_logs_in_by_itself(
    faults: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call names the cause, and is not tried again."""
    _, url = faults.account()
    logins = tmp_path / "netrc"
    logins.write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(logins))
    async with aiohttp.ClientSession(trust_env=True) as session:
        client = AsyncClient(AUTH_ID, "t", base_url=url, session=session)
        with pytest.raises(InvalidArgumentError, match="must not add credentials") as caught:
            await client.endpoints.get(SEED)
    assert caught.value.field == "session"


def test_a_session_of_another_loop(faults: FaultServer) -> None:
    """It is refused at the first call, and not tried three times."""
    _, url = faults.account()

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use() -> None:
        await AsyncClient(AUTH_ID, "t", base_url=url, session=session).endpoints.get(SEED)

    with asyncio.Runner() as runner:
        session = runner.run(make())
        with pytest.raises(ClientStateError, match="belongs to another event loop"):
            asyncio.run(use())
        runner.run(session.close())


async def test_no_error_quotes_an_id(faults: FaultServer) -> None:
    """A session of the caller's may have timeouts of its own, and aiohttp's words for those hold the URL."""
    account, url = faults.account()
    account.forever = Step(_BY_NAME["RST before reading"], applied=False)
    for timeout in (aiohttp.ClientTimeout(sock_connect=1e-9), aiohttp.ClientTimeout(sock_read=0.01)):
        async with aiohttp.ClientSession(timeout=timeout) as session:
            client = AsyncClient(AUTH_ID, "t", base_url=url, session=session)
            with pytest.raises(TransportError) as caught:
                await client.endpoints.update(SEED, alias="lobby")
        assert SEED not in str(caught.value)


async def test_what_prints_objects_shows_no_header(faults: FaultServer) -> None:
    """The header is ready-made on the session, but nothing that prints it shows it."""
    _, url = faults.account()
    async with AsyncClient(AUTH_ID, "t0ken", base_url=url) as client:
        await client.endpoints.get(SEED)
        headers: list[object] = [each for each in gc.get_objects() if type(each) is CIMultiDict]
        shown = [repr(each) for each in headers]
    assert any("<hidden>" in each for each in shown)
    header = b64encode(f"{AUTH_ID}:t0ken".encode()).decode()
    assert [each for each in shown if header in each] == []


async def test_a_call_that_meets_a_closed_session(faults: FaultServer) -> None:
    """It is told of as any other, though no answer and no failure of the network ended it."""
    _, url = faults.account()
    events: list[Event] = []
    async with aiohttp.ClientSession() as session:
        client = AsyncClient(AUTH_ID, "t", base_url=url, session=session, on_event=events.append)
    with pytest.raises(ClientStateError):
        await client.endpoints.get(SEED)
    ended = [event for event in events if isinstance(event, CallFinished)]
    assert [(event.attempts, event.error) for event in ended] == [(1, "ClientStateError")]


async def test_an_unknown_outcome_has_the_id_that_the_support_asks_for(faults: FaultServer) -> None:
    """Where the answer, a failure's, carried it."""
    account, url = faults.account()
    failed = make_answer(500, "No", b'{"api_id": "7f1c", "error": "down"}')
    account.play([Step(Fault("failed", instead(failed)), applied=True)])
    async with AsyncClient(AUTH_ID, "t", base_url=url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert (caught.value.status, caught.value.api_id) == (500, "7f1c")


class _BrokenHandler(logging.Handler):
    """Fails as handlers must not."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.name)


async def _create_and_fail(client: AsyncClient, account: Account) -> CreatedEndpoint:
    made = await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    account.play([Step(_BY_NAME["500"], applied=False)] * 3)
    with pytest.raises(ServerError):
        await client.endpoints.get(SEED)
    return made


async def test_a_logging_handler_that_fails(
    faults: FaultServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a result nor an error is lost to it."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("plivo_endpoints"), "handlers", [_BrokenHandler()])
    account, url = faults.account()
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=_fail_to_count) as client:
        made = await _create_and_fail(client, account)
    assert [made.endpoint_id] == [known.endpoint_id for known in account.created]


def _fail_to_count(_: Event) -> None:
    raise RuntimeError("metrics are down")


@pytest.mark.parametrize("failure", [RuntimeError, SystemExit, asyncio.CancelledError, GeneratorExit])
async def test_a_hook_that_fails(
    faults: FaultServer, caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    """A create that worked is not lost to it; the log names the failure."""

    def fail(_: Event) -> None:
        raise failure("metrics are down")

    account, url = faults.account()
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=fail) as client:
        made = await _create_and_fail(client, account)
    assert [made.endpoint_id] == [known.endpoint_id for known in account.created]
    assert {record.message for record in caplog.records if record.levelno == logging.ERROR} == {
        "the on_event hook failed"
    }


@pytest.mark.parametrize("during", [AttemptFinished, CallFinished])
async def test_ctrl_c_in_a_hook_brings_the_outcome(faults: FaultServer, during: type[object]) -> None:
    """What had been created by then is named by the cause of the `KeyboardInterrupt`."""

    def interrupt(event: Event) -> None:
        if isinstance(event, during):
            raise KeyboardInterrupt

    account, url = faults.account()
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=interrupt) as client:
        create = client.endpoints.create(username="alice", password="s3cret", alias="desk")
        with pytest.raises(KeyboardInterrupt) as caught:
            await create
    unknown = caught.value.__cause__
    assert isinstance(unknown, OutcomeUnknownError)
    assert [unknown.endpoint_id] == [known.endpoint_id for known in account.created]


async def test_ctrl_c_after_a_refusal_leaves_nothing_unknown(faults: FaultServer) -> None:
    """Plivo had said no: nothing was created, and the interrupt claims nothing else."""

    def interrupt(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            raise KeyboardInterrupt

    account, url = faults.account()
    account.forever = Step(_BY_NAME["400"], applied=False)
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=interrupt) as client:
        create = client.endpoints.create(username="alice", password="s3cret", alias="desk")
        with pytest.raises(KeyboardInterrupt) as caught:
            await create
    assert caught.value.__cause__ is None


async def _give_up(client: AsyncClient) -> None:
    async with asyncio.timeout(0.5):
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")


async def _fail_beside(client: AsyncClient) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.5)
        raise ValueError

    async with asyncio.TaskGroup() as group:
        group.create_task(client.endpoints.create(username="alice", password="s3cret", alias="desk"))
        group.create_task(fail())


async def _move_on(client: AsyncClient) -> None:
    with anyio.move_on_after(0.5):
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")


@pytest.mark.parametrize("cancel", [_give_up, _fail_beside, _move_on])
async def test_a_cancelled_create_is_logged(
    cancel: Callable[[AsyncClient], Awaitable[None]], faults: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever cancels it: a warning names it, and its event says that the outcome is unknown."""
    account, url = faults.account()
    account.forever = Step(_BY_NAME["never answers"], applied=True)
    events: list[Event] = []
    async with AsyncClient(AUTH_ID, "t", base_url=url, on_event=events.append) as client:
        with suppress(TimeoutError, ExceptionGroup):
            await cancel(client)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [word for word in ("'alice'", "'desk'", "sent at 20") if word not in warning] == []
    ended = [(event.error, event.outcome_unknown) for event in events if isinstance(event, CallFinished)]
    assert ended == [("CancelledError", True)]


async def test_no_server_forges_a_log_line(faults: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither logs nor errors carry control characters from an answer."""
    caplog.set_level(logging.DEBUG)
    account, url = faults.account()
    account.forever = Step(Fault("forged", instead(FORGED)), applied=False)
    async with AsyncClient(AUTH_ID, "t", base_url=url) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.endpoints.get(SEED)
    lines = [record.getMessage() for record in caplog.records if record.name == "plivo_endpoints"]
    assert len(lines) >= 1
    assert [
        text for text in (*lines, str(caught.value), caught.value.api_id) if not str(text).isprintable()
    ] == []


def _where_nothing_listens(account_url: str) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/{account_url.rpartition('/')[2]}"


async def test_nothing_listens(faults: FaultServer) -> None:
    """A create that cannot have left is tried three times, says so, and none of it counts as sent."""
    account, url = faults.account()
    events: list[Event] = []
    async with AsyncClient(
        AUTH_ID, "t", base_url=_where_nothing_listens(url), on_event=events.append
    ) as client:
        with pytest.raises(ConnectError) as caught:
            await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    attempts = [event for event in events if isinstance(event, AttemptFinished)]
    assert (caught.value.sent, caught.value.attempts, account.arrivals) == ("no", 3, [])
    assert [(event.outcome, event.sent) for event in attempts] == [("not sent", False)] * 3


class _NoNames(aiohttp.abc.AbstractResolver):
    """Knows no host."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        raise OSError(None, f"no address for {host}:{port} ({family})")

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_name_that_is_not_known() -> None:
    """A create that finds no address was not sent."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_NoNames())) as session:
        client = AsyncClient(AUTH_ID, "t", base_url="https://plivo.invalid", session=session)
        with pytest.raises(ConnectError) as caught:
            await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert (caught.value.sent, caught.value.attempts, caught.value.__context__) == ("no", 3, None)

"""The clients as objects: options, sharing, closing, and the length of a call's way."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

import plivo_endpoints
from plivo_endpoints import (
    AsyncClient,
    Client,
    ClientStateError,
    ConnectError,
    Endpoint,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseDecodeError,
)
from plivo_endpoints._runner import Runner, _Call, _LoopThread
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from plivo_endpoints.sandbox import Sandbox

AUTH_ID = "MA0123456789ABCDEFGH"


async def test_closing_twice_is_no_error(sandbox: Sandbox) -> None:
    """Only calls after it are."""
    client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url)
    await client.endpoints.list_page()
    await client.close()
    await client.close()
    with pytest.raises(ClientStateError, match="closed"):
        await client.endpoints.list_page()


def test_closing_the_blocking_client_twice_is_no_error(blocking_client: Client) -> None:
    """Its thread is gone after the first."""
    blocking_client.endpoints.list_page()
    blocking_client.close()
    blocking_client.close()
    assert "plivo-endpoints" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ClientStateError, match="closed"):
        blocking_client.endpoints.list_page()


def test_an_unused_blocking_client_starts_no_thread() -> None:
    """Nor does closing it."""
    before = threading.active_count()
    with Client(AUTH_ID, "token"):
        assert before == threading.active_count()


def test_a_forgotten_blocking_client_ends_its_thread(threaded_sandbox: Sandbox) -> None:
    """Silently."""
    client = Client(threaded_sandbox.auth_id, threaded_sandbox.auth_token, base_url=threaded_sandbox.base_url)
    client.endpoints.list_page()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client
        gc.collect()
    assert "plivo-endpoints" not in {thread.name for thread in threading.enumerate()}


async def test_a_runner_collected_on_its_own_thread_ends_it() -> None:
    """The garbage collector runs anywhere, and a thread cannot join itself."""
    runner = Runner()

    async def own_thread() -> threading.Thread:
        await asyncio.sleep(0)
        return threading.current_thread()

    thread = runner.run(own_thread)
    finalize = runner._finalizer
    assert finalize is not None

    async def collect() -> None:
        finalize()
        await asyncio.sleep(0)

    runner.run(collect)
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


def test_a_loop_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error reaches the first caller, who would otherwise wait for ever."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("no more files")

    monkeypatch.setattr("anyio.run", fail)
    with pytest.raises(OSError, match="no more files"):
        Client(AUTH_ID, "token").endpoints.list_page()


def test_closing_during_a_call_of_another_thread_ends_it(threaded_sandbox: Sandbox) -> None:
    """A create with its unknown outcome, anything else with what became of the client."""
    box = threaded_sandbox
    client = Client(box.auth_id, box.auth_token, base_url=box.base_url)
    box.inject(Fault(applied=True, latency=60.0), times=1)
    with ThreadPoolExecutor(2) as pool:
        create = pool.submit(client.endpoints.create, username="alice", password="s3cret", alias="a")
        while not box.endpoints:
            time.sleep(0.001)
        endpoint_id, made = next(iter(box.endpoints.items()))
        box.inject(Fault(applied=True, latency=60.0), times=1)
        update = pool.submit(client.endpoints.update, endpoint_id, alias="b")
        while box.endpoints[endpoint_id] == made:
            time.sleep(0.001)
        client.close()
        with pytest.raises(OutcomeUnknownError, match="it was cancelled") as unknown:
            create.result()
        assert unknown.value.__context__ is None  # which would hold the password
        with pytest.raises(ClientStateError, match="closed during the call"):
            update.result()


def test_the_loops_own_thread_is_refused(blocking_client: Client) -> None:
    """It would wait for itself for ever."""

    async def inside() -> None:
        await asyncio.sleep(0)
        blocking_client.endpoints.list_page()

    with pytest.raises(ClientStateError, match="own loop's thread"):
        blocking_client._runner.run(inside)


async def test_a_view_alone_keeps_its_client(sandbox: Sandbox) -> None:
    """And the client complains if nobody closes it."""
    box = sandbox
    async with AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url).with_options(
        timeout=5
    ) as view:
        await view.endpoints.list_page()
    with pytest.warns(ResourceWarning, match="unclosed <AsyncClient"):
        del view
        gc.collect()


async def test_no_call_begins_after_closing(sandbox: Sandbox) -> None:
    """One that waited for the rate limit meanwhile, before anything was connected, is told."""
    box = sandbox
    client = AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url)
    client._connections._window.pause(time.monotonic() + 0.2)
    waiting = asyncio.create_task(client.endpoints.create(username="alice", password="s3cret", alias="a"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ClientStateError, match="closed"):
        await waiting
    assert 0 == len(box.requests)


class InterruptedLock:
    """A lock whose owner a signal meets when it has just got it."""

    def __init__(self, lock: threading.Lock, interrupt: BaseException) -> None:
        self._lock = lock
        self._interrupt = interrupt
        self.release = lock.release

    def acquire(self) -> None:
        """Get it, and be interrupted."""
        self._lock.acquire()
        raise self._interrupt


def test_an_interrupt_tells_of_a_call_that_had_ended(
    blocking_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the instant after a create succeeded must not lose what it made."""

    class Interrupted(_Call[Any]):
        def _hand_over(self) -> None:
            super()._hand_over()
            self._under_way = InterruptedLock(self._under_way, KeyboardInterrupt())  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

    monkeypatch.setattr("plivo_endpoints._runner._Call", Interrupted)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        blocking_client.endpoints.create(username="alice", password="s3cret", alias="a")
    (note,) = interrupt.value.__notes__
    assert "had just ended, with CreatedEndpoint(endpoint_id=" in note


class NeverHandedOver(_Call[Any]):
    """A signal comes before the loop has the call."""

    interrupt: BaseException
    impatient = True

    def _hand_over(self) -> None:
        raise self.interrupt

    def _ask(self, what: Callable[[], None]) -> None:
        super()._ask(what)
        if self.impatient:  # a second signal, while the first one stops the call
            self.impatient = False
            raise KeyboardInterrupt


class JustBegun(NeverHandedOver):
    """A signal comes when the loop has made its task, which has not made a step."""

    def _hand_over(self) -> None:
        self._is_interrupted = threading.Event()
        self._thread.loop.call_soon_threadsafe(self._begin_and_wait)
        raise self.interrupt

    def _begin_and_wait(self) -> None:
        self._begin()
        self._is_interrupted.wait(10)
        self._cancel()  # as `_stop` asks for, which could come in a turn too late

    def _stop(self) -> None:
        self._is_interrupted.set()
        super()._stop()


@pytest.mark.parametrize("kind", [NeverHandedOver, JustBegun])
@pytest.mark.parametrize(
    "interrupt",
    [KeyboardInterrupt(), TimeoutError("of an alarm"), ClientStateError("of another client")],
    ids=repr,
)
def test_an_interrupt_while_a_call_is_handed_over(
    threaded_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[NeverHandedOver],
    interrupt: BaseException,
) -> None:
    """Whether the loop has it already or not: it waits for nothing, and nothing is sent behind one's back."""
    monkeypatch.setattr(kind, "interrupt", interrupt, raising=False)
    box = threaded_sandbox
    with Client(box.auth_id, box.auth_token, base_url=box.base_url) as client:
        client.endpoints.list_page()
        with monkeypatch.context() as patch, pytest.raises(type(interrupt)) as caught:
            patch.setattr("plivo_endpoints._runner._Call", kind)
            client.endpoints.create(username="alice", password="s3cret", alias="a")
        assert caught.value is interrupt
        client.endpoints.list_page()
    assert ["GET", "GET"] == [request.method for request in box.requests]


def test_a_call_that_meets_a_closed_loop(blocking_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread has closed the client since this one looked: it is told so."""
    blocking_client.endpoints.list_page()
    thread = blocking_client._runner._thread
    assert thread is not None
    blocking_client.close()
    monkeypatch.setattr(blocking_client._runner, "_usable_thread", lambda: thread)
    with pytest.raises(ClientStateError, match="closed"):
        blocking_client.endpoints.list_page()


@pytest.mark.parametrize("ends", [False, True], ids=["while it stops", "when it has run for the last time"])
def test_a_call_that_a_closing_client_is_given(
    threaded_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    """It is not begun, and nobody waits for it."""
    box = threaded_sandbox
    client = Client(box.auth_id, box.auth_token, base_url=box.base_url)
    client.endpoints.list_page()

    class Late(_Call[Any]):
        def _ask(self, what: Callable[[], None]) -> None:
            if ends:
                client.close()  # the loop takes what it will never come to
            else:
                self._thread.is_stopping = True
                super()._ask(what)

    monkeypatch.setattr("plivo_endpoints._runner._Call", Late)
    with pytest.raises(ClientStateError, match="closed"):
        client.endpoints.create(username="alice", password="s3cret", alias="a")
    client.close()
    assert {} == dict(box.endpoints)


def test_an_error_of_a_handler_is_not_taken_for_a_closed_loop(
    blocking_client: Client, monkeypatch: pytest.MonkeyPatch, threaded_sandbox: Sandbox
) -> None:
    """Whatever comes out of a signal's handler stops the call."""
    blocking_client.endpoints.list_page()
    thread = blocking_client._runner._thread
    assert thread is not None

    def interrupted(*_arguments: Any) -> None:
        monkeypatch.undo()
        raise RuntimeError("of a handler")

    monkeypatch.setattr(thread.loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(RuntimeError, match="of a handler"):
        blocking_client.endpoints.create(username="alice", password="s3cret", alias="a")
    blocking_client.endpoints.list_page()
    assert {} == dict(threaded_sandbox.endpoints)


def test_a_handler_that_closes_the_client_during_its_first_call(
    threaded_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the thread that is being started by whom it interrupts."""
    box = threaded_sandbox
    client = Client(box.auth_id, box.auth_token, base_url=box.base_url)

    class Closing(_LoopThread):
        def __init__(self) -> None:
            super().__init__()
            client.close()

    monkeypatch.setattr("plivo_endpoints._runner._LoopThread", Closing)
    with pytest.raises(ClientStateError, match="closed"):
        client.endpoints.list_page()
    assert "plivo-endpoints" not in {thread.name for thread in threading.enumerate()}


def test_the_collector_may_end_a_walk_at_any_moment(blocking_client: Client) -> None:
    """Even in the thread that is just about to begin a call."""
    blocking_client.endpoints.list_page()
    with blocking_client._runner._starting:
        blocking_client.endpoints.list_page()


async def test_views_share_and_cannot_close(sandbox: Sandbox) -> None:
    """A view has limits of its own and everything else in common."""
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
        async with client.with_options(timeout=0.2, max_attempts=1) as view:
            sandbox.inject(Fault(applied=True, latency=60.0), times=1)
            with pytest.raises(RequestTimeoutError) as late:
                await view.endpoints.list_page()
            assert (0.2, 1) == (late.value.timeout, late.value.attempts)
        await client.endpoints.list_page()
        await view.with_options(timeout=5).endpoints.list_page()
    with pytest.raises(ClientStateError):
        await view.endpoints.list_page()


def test_blocking_views_share_and_cannot_close(blocking_client: Client) -> None:
    """The same for the blocking client: one thread for both."""
    with blocking_client.with_options(timeout=5.0) as view:
        view.endpoints.list_page()
    blocking_client.endpoints.list_page()
    names = [thread.name for thread in threading.enumerate()]
    assert 1 == names.count("plivo-endpoints")


async def test_a_session_of_the_callers_is_left_as_it_was(sandbox: Sandbox) -> None:
    """Neither changed nor closed, and it never learns the credentials."""
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, session=session
        ) as client:
            made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
            await client.endpoints.delete(made.endpoint_id)
        assert not session.closed
        assert {"X-Mine": "1"} == dict(session.headers)
        assert session._retry_connection
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lent = AsyncClient(
                sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, session=session
            )
            await lent.endpoints.list_page()
            del lent  # nothing of its own was left open
            gc.collect()
    async with AsyncClient(AUTH_ID, "token", base_url=sandbox.base_url, session=session) as late:
        with pytest.raises(ClientStateError, match="session is closed"):
            await late.endpoints.list_page()


def test_a_client_made_outside_a_loop_works_in_several(threaded_sandbox: Sandbox) -> None:
    """One session in each, and the first two end with their loops."""
    box = threaded_sandbox
    client = AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url)

    async def count() -> int:
        return len([endpoint async for endpoint in client.endpoints.list()])

    async def last() -> int:
        async with client:
            return await count()

    box.seed(3)
    assert [3, 3, 3] == [asyncio.run(count()), asyncio.run(count()), asyncio.run(last())]


def test_two_loops_at_once_share_a_client(threaded_sandbox: Sandbox) -> None:
    """Each in its thread, with its own connections and the common rate limit."""
    box = threaded_sandbox
    client = AsyncClient(box.auth_id, box.auth_token, base_url=box.base_url)

    async def work() -> None:
        await asyncio.gather(*[client.endpoints.list_page() for _ in range(20)])

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(client.close())
    assert 60 == len(box.requests)


async def test_a_forgotten_async_client_is_named_once(sandbox: Sandbox) -> None:
    """One ResourceWarning, and no other noise."""
    client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url)
    await client.endpoints.list_page()
    with pytest.warns(ResourceWarning, match="unclosed <AsyncClient") as told:
        del client
        gc.collect()
    assert 1 == len(told)


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_clients_do_not_pickle_or_copy(kind: type[AsyncClient | Client]) -> None:
    """They hold credentials and connections."""
    client = kind(AUTH_ID, "token")
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            copying(client)
        with pytest.raises(TypeError, match="cannot be pickled"):
            copying(client._connections.credentials)


async def test_answers_beyond_max_body_are_not_read(sandbox: Sandbox) -> None:
    """A page that is too large is an error, not half a page."""
    sandbox.seed(20)
    async with AsyncClient(
        sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, max_body=1000
    ) as client:
        with pytest.raises(ResponseDecodeError, match="max_body"):
            await client.endpoints.list_page()


async def test_nothing_listens() -> None:
    """Three tries, none of which left."""
    async with AsyncClient(AUTH_ID, "token", base_url="http://127.0.0.1:1") as client:
        with pytest.raises(ConnectError) as refused:
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert ("no", 3, "POST", "Endpoint/") == (
        refused.value.sent,
        refused.value.attempts,
        refused.value.method,
        refused.value.path,
    )
    assert "cannot connect to 127.0.0.1:1: Connection refused" == str(refused.value)


def test_a_base_urls_prefix_is_kept(threaded_sandbox: Sandbox) -> None:
    """Services behind a path are reached below it."""
    with (
        Client(
            threaded_sandbox.auth_id,
            threaded_sandbox.auth_token,
            base_url=threaded_sandbox.base_url + "/below/",
        ) as client,
        pytest.raises(plivo_endpoints.NotFoundError),
    ):
        client.endpoints.list_page()
    assert [f"/below/v1/Account/{threaded_sandbox.auth_id}/Endpoint/"] == [
        request.path.partition("?")[0] for request in threaded_sandbox.requests
    ]


ASYNC_AND_BLOCKING = [
    (AsyncClient(AUTH_ID, "token").endpoints, Client(AUTH_ID, "token").endpoints),
    (AsyncClient(AUTH_ID, "token").tokens, Client(AUTH_ID, "token").tokens),
    (AsyncClient(AUTH_ID, "token"), Client(AUTH_ID, "token")),
]


@pytest.mark.parametrize(("waiting", "blocking"), ASYNC_AND_BLOCKING)
def test_every_async_method_has_its_blocking_twin(waiting: object, blocking: object) -> None:
    """With the same parameters and, where they are made from one another, the same docstring."""
    names = [name for name, _ in inspect.getmembers(waiting, inspect.ismethod) if not name.startswith("_")]
    assert names == [
        name
        for name, _ in inspect.getmembers(blocking, callable)
        if not name.startswith("_") and inspect.ismethod(getattr(blocking, name))
    ]
    for name in names:
        ours, twin = getattr(waiting, name), getattr(blocking, name)
        assert inspect.signature(ours).parameters == inspect.signature(twin).parameters
        assert not inspect.iscoroutinefunction(twin)
        if not isinstance(waiting, AsyncClient):
            assert inspect.getdoc(ours) == inspect.getdoc(twin)


def test_the_blocking_list_says_what_it_returns() -> None:
    """`help()` must not promise an async iterator."""
    listing = Client(AUTH_ID, "token").endpoints.list
    assert "Paginator" in str(inspect.signature(listing).return_annotation)
    assert "Async" not in str(inspect.signature(listing).return_annotation)


POLICIES = {"_middleware.py", "_deadlines.py", "_events.py", "retry.py", "rate_limit.py", "call.py"}
# What the transport does to know that a create left once, and to read no more than it must.
TRANSPORT_RULES = [
    "_request_body.pass_by",
    "_request_body._wake",
    "_request_body.__init__",
    "_transport.connect",
    "_request_body.write_with_length",
    "_request_body._listen",
    "_request_body._is_spoilt",
    "_clock.wall",
    "_transport._read_body",
    "_request_body.was_answered_twice",
]
READS_JSON = "_loads"  # there without orjson only
PACKAGE = Path(plivo_endpoints.__file__).parent


def _own_calls(frames: list[tuple[str, str]]) -> list[str]:
    own = [(Path(file), name) for file, name in frames if file.startswith(str(PACKAGE))]
    return [
        f"{file.stem}.{name}"
        for file, name in own
        if "sandbox" not in file.parts and file.name not in POLICIES and name != READS_JSON
    ]


async def test_the_way_of_a_create_is_short(client: AsyncClient) -> None:
    """Our own functions that one warm create enters, the failure rules left out; generated ones do not."""
    await client.endpoints.create(username="alice", password="s3cret", alias="a")
    frames: list[tuple[str, str]] = []
    seen: set[FrameType] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame not in seen:
            seen.add(frame)  # a coroutine that goes on is not called again
            frames.append((frame.f_code.co_filename, frame.f_code.co_name))

    gc.collect()  # or a client of an earlier test is collected on the way
    sys.setprofile(note)
    try:
        await client.endpoints.create(username="alice", password="s3cret", alias="a")
    finally:
        sys.setprofile(None)
    own = _own_calls(frames)
    assert TRANSPORT_RULES == [name for name in own if name in TRANSPORT_RULES]
    assert [
        "endpoints.create",
        "_connections.execute",
        "codec.build_request",
        "_requests.check",
        "_validation.check_username",
        "_validation.as_text",
        "_validation.password_problem",
        "_validation.as_text",
        "_validation.require",
        "_validation.text_problem",
        "_validation.as_text",
        "_validation.require",
        "converter.dump_json",
        "_connections.retrying",
        "_transport.send",
        "codec.parse_response",
        "converter._created",
        "converter._object",
        "converter._texts",
    ] == [name for name in own if name not in TRANSPORT_RULES]


async def test_an_endpoint_is_a_plain_value(client: AsyncClient) -> None:
    """It pickles, copies and hashes, and holds no handle of the client."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
    found = await client.endpoints.get(made.endpoint_id)
    assert found == pickle.loads(pickle.dumps(found))  # noqa: S301
    assert isinstance(found, Endpoint)
    assert {found} == {copy.copy(found)}

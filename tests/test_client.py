"""The clients as objects: options, sharing, closing, and the length of a call's way."""

from __future__ import annotations

import asyncio
import copy
import gc
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
    CallFinished,
    Client,
    ClientStateError,
    ConnectError,
    Endpoint,
    Event,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseDecodeError,
)
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
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


def test_a_client_collected_on_its_own_thread_ends_it(threaded_sandbox: Sandbox) -> None:
    """The garbage collector runs anywhere, and a thread cannot wait for itself."""
    box, held = threaded_sandbox, list[Client]()

    def collect() -> None:
        held.clear()
        gc.collect()

    def drop_later(event: Event) -> None:
        if isinstance(event, CallFinished):
            asyncio.get_running_loop().call_later(0.05, collect)

    held.append(Client(box.auth_id, box.auth_token, base_url=box.base_url, on_event=drop_later))
    held[0].endpoints.list_page()
    deadline = time.monotonic() + 10
    while "plivo-endpoints" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [] == held


def test_a_loop_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error reaches the first caller, who would otherwise wait for ever."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("no more files")

    monkeypatch.setattr("anyio.run", fail)
    with pytest.raises(ClientStateError, match="cannot start: no more files"):
        Client(AUTH_ID, "token").endpoints.list_page()


def test_a_loop_factory_that_fails() -> None:
    """Its error is the cause of ours."""

    def fail() -> asyncio.AbstractEventLoop:
        raise ZeroDivisionError

    with pytest.raises(ClientStateError, match="cannot start") as caught:
        Client(AUTH_ID, "token", loop_factory=fail).endpoints.list_page()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_loop_is_of_the_kind_asked_for(threaded_sandbox: Sandbox) -> None:
    """And asyncio's own where nobody asks, whatever else is installed."""
    box, loops = threaded_sandbox, list[type[asyncio.AbstractEventLoop]]()

    class Special(asyncio.SelectorEventLoop):
        """A loop of the caller's."""

    def note(_: Event) -> None:
        loops.append(type(asyncio.get_running_loop()))

    for factory in (None, Special):
        with Client(
            box.auth_id, box.auth_token, base_url=box.base_url, on_event=note, loop_factory=factory
        ) as client:
            client.endpoints.list_page()
    assert [Special] == [kind for kind in {*loops} if not kind.__module__.startswith("asyncio.")]
    assert 2 == len({*loops})


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
        with pytest.raises(OutcomeUnknownError, match="the call was cancelled") as unknown:
            create.result()
        assert unknown.value.__context__ is None  # which would hold the password
        with pytest.raises(ClientStateError, match="closed during the call"):
            update.result()


def test_the_loops_own_thread_is_refused(threaded_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that calls its own client would wait for itself for ever."""
    box = threaded_sandbox

    def call(_: Event) -> None:
        client.endpoints.list_page()

    with Client(box.auth_id, box.auth_token, base_url=box.base_url, on_event=call) as client:
        client.endpoints.list_page()
    failures = {str(record.exc_info[1]) for record in caplog.records if record.exc_info}
    assert {"a blocking client cannot be called from its own loop's thread"} == failures


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


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_refused_client_can_be_shown(kind: type[AsyncClient | Client]) -> None:
    """Crash reporters print what a constructor that raised has left."""
    refused = kind.__new__(kind)
    assert f"<{kind.__name__} not connected>" == repr(refused)


MOST_CALLS = 52  # as measured; each further call makes every create slower
PACKAGE = Path(plivo_endpoints.__file__).parent


def _own_calls(frames: list[tuple[str, str]]) -> list[str]:
    own = [(Path(file), name) for file, name in frames if file.startswith(str(PACKAGE))]
    return [
        f"{file.stem}.{name}"
        for file, name in own
        if "sandbox" not in file.parts and name != "data_received"  # once or more, as the answer comes
    ]


async def test_the_way_of_a_create_is_short(client: AsyncClient) -> None:
    """So many functions of ours does a warm create enter; generated ones are not counted."""
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
    assert len(own) <= MOST_CALLS, own


async def test_an_endpoint_is_a_plain_value(client: AsyncClient) -> None:
    """It pickles, copies and hashes, and holds no handle of the client."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a")
    found = await client.endpoints.get(made.endpoint_id)
    assert found == pickle.loads(pickle.dumps(found))  # noqa: S301
    assert isinstance(found, Endpoint)
    assert {found} == {copy.copy(found)}

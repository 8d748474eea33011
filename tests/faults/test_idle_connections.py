"""What happens to a connection while nobody uses it must not be blamed on the next request."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from plivo_endpoints import AsyncClient, CreatedEndpoint, PlivoError
from plivo_endpoints._request_models import NewEndpoint
from plivo_endpoints._resources.endpoints import create_after
from tests.faults.account import AUTH_ID, SEED, Account, Step
from tests.faults.kinds import Fault
from tests.faults.wire import Answer, Wire, make_answer

if TYPE_CHECKING:
    from tests.faults.server import FaultServer

Event = Callable[[Wire], Awaitable[None]]

STRAY_REFUSAL: Final = make_answer(404, "Not Found", b'{"error":"stray"}')
STRAY_SUCCESS: Final = make_answer(201, "Created", b'{"endpoint_id":"666","username":"mallory1"}')
TRIES: Final = 10


async def _close(wire: Wire) -> None:
    wire.say_goodbye()


def _speak(answer: Answer) -> Event:
    async def speak(wire: Wire) -> None:
        await wire.send(answer.encode())

    return speak


EVENTS: Final[dict[str, Event]] = {
    "FIN": _close,
    "RST": Wire.rst,
    "an answer more, a refusal": _speak(STRAY_REFUSAL),
    "an answer more, a success": _speak(STRAY_SUCCESS),
}


def _answer_then(event: Event, heard: threading.Event, done: threading.Event) -> Fault:
    """An honest answer, and when the client has had it, something that nobody asked for."""

    async def play(wire: Wire, answer: Answer) -> None:
        await wire.send(answer.encode())
        assert await asyncio.to_thread(heard.wait, 5)
        await event(wire)
        done.set()

    return Fault("idle", play)


async def _create_after(event: Event, account: Account, client: AsyncClient, *, blocked: bool) -> str:
    heard, done = threading.Event(), threading.Event()
    account.play([Step(_answer_then(event, heard, done), applied=True)])
    # Not a get: the first create on a connection listens for a moment, and would read the news then.
    await client.endpoints.create(username="earlier", password="s3cret", alias="earlier")
    account.created.clear()
    heard.set()
    if blocked:
        done.wait(5)  # in the loop's own thread: it gets no chance to notice before the next call
    else:
        await asyncio.to_thread(done.wait, 5)
    try:
        result = await client.endpoints.create(username="alice", password="s3cret", alias="desk")
    except PlivoError as error:
        return type(error).__name__
    return _verdict(result, account)


def _verdict(result: CreatedEndpoint, account: Account) -> str:
    return "made" if [result.endpoint_id] == [made.endpoint_id for made in account.created] else "another's"


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("event", EVENTS)
async def test_a_create_after_news_that_had_arrived(
    event: str, blocked: bool, injected: bool, faults: FaultServer
) -> None:
    """A connection that ended, or on which an answer came unasked, costs no create its certainty."""
    ends: Counter[str] = Counter()
    for _ in range(TRIES):
        account, url = faults.account()
        session = aiohttp.ClientSession() if injected else None
        async with AsyncClient(AUTH_ID, "fault-token", base_url=url, session=session) as client:
            ends[await _create_after(EVENTS[event], account, client, blocked=blocked)] += 1
        if session is not None:
            await session.close()
    assert ends == {"made": TRIES}


@pytest.mark.slow
async def test_two_hundred_creates_after_a_close(faults: FaultServer) -> None:
    """On one client, none of two hundred is ambiguous when the close was there to be read."""
    account, url = faults.account()
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        for _ in range(200):
            account.created.clear()
            assert await _create_after(_close, account, client, blocked=True) == "made"


@pytest.mark.parametrize("operation", ["get", "delete"])
async def test_a_request_without_a_body_after_a_stray_answer(operation: str, faults: FaultServer) -> None:
    """It does not take what lies on the connection for its answer."""
    account, url = faults.account()
    account.seed("alice1", "desk", "777")
    heard, done = threading.Event(), threading.Event()
    account.play([Step(_answer_then(_speak(STRAY_REFUSAL), heard, done), applied=True)])
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url) as client:
        await client.endpoints.get(SEED)
        heard.set()
        await asyncio.to_thread(done.wait, 5)
        if operation == "get":
            assert (await client.endpoints.get("777")).username == "alice1"
        else:
            await client.endpoints.delete("777")
            assert "777" not in account.endpoints


@pytest.mark.parametrize("injected", [False, True])
async def test_a_server_that_greets_with_an_answer(faults: FaultServer, *, injected: bool) -> None:
    """An answer that came before the create left refuses nothing: it goes over a new connection."""
    greeting = make_answer(400, "Bad Request", b'{"error":"greeting"}')
    door = faults.open_door(greetings=[greeting.encode()])
    account, url = faults.account(port=door.port)

    async def greeted() -> float:
        assert await asyncio.to_thread(door.greeted.wait, 5)
        return math.inf

    new = NewEndpoint(username="alice", password="s3cret", alias="desk")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession()) if injected else None
        client = AsyncClient(AUTH_ID, "fault-token", base_url=url, session=session)
        await stack.enter_async_context(client)
        result = await create_after(client.endpoints, new, greeted)
    assert _verdict(result, account) == "made"

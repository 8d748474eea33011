"""A server, or something before it, that speaks before it was asked, on connections that are new."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections import Counter
from typing import Final

import pytest
import trustme

from plivo_endpoints import AsyncClient, ConnectError, CreatedEndpoint, OutcomeUnknownError, PlivoError
from tests.faults.account import AUTH_ID
from tests.faults.wire import make_answer

CREATES: Final = 1_000
AT_ONCE: Final = 20
GREETINGS: Final = [
    make_answer(429, "Too Many Requests", b'{"error":"greeting"}', Retry_After="0").encode(),
    make_answer(400, "Bad Request", b'{"error":"greeting"}').encode(),
    make_answer(201, "Created", b'{"endpoint_id":"666","username":"mallory1"}').encode(),
]


class Greeter:
    """Greets half of its connections with an answer, then reads requests, carries them out and answers."""

    def __init__(
        self, *, with_answer: bool = False, at_first: int | None = None, late: float | None = None
    ) -> None:
        self._with_answer = with_answer  # greets only when it answers, so that two answers come at once
        self._at_first = at_first  # so many bytes of the greeting, and the rest when it was asked
        self._late = late  # seconds until it greets: when the client has its connection, and listens
        self._chance = random.Random(7)  # noqa: S311 - the same greetings in every run
        self.made: Counter[str] = Counter()  # by alias
        self.greeted = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        greeting = self._chance.choice(GREETINGS) if self._chance.random() < 0.5 else b""
        self.greeted += bool(greeting)
        try:
            if self._late is not None:
                await asyncio.sleep(self._late)
            if not self._with_answer:
                writer.write(greeting[: self._at_first])
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                alias = json.loads(await reader.readexactly(length))["alias"]
                self.made[alias] += 1
                answer = make_answer(201, "Created", _created(alias)).encode()
                if self._at_first is not None:
                    writer.write(greeting[self._at_first :])
                    await asyncio.sleep(0.02)  # both at once would be two answers
                writer.write(greeting + answer if self._with_answer else answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _created(alias: str) -> bytes:
    return json.dumps({"endpoint_id": f"id-{alias}", "username": "alice1", "alias": alias}).encode()


async def _complaint(client: AsyncClient, alias: str, server: Greeter) -> str | None:
    """Create once over a new connection, and say what is wrong with how it ended."""
    result: CreatedEndpoint | PlivoError
    try:
        result = await client.endpoints.create(username="alice", password="s3cret", alias=alias)
    except PlivoError as error:
        result = error
    made = server.made[alias]
    if made > 1:
        return f"{alias} was made {made} times"
    if isinstance(result, CreatedEndpoint):
        return None if result.endpoint_id == f"id-{alias}" else f"{alias} got the answer of another"
    told_unknown = isinstance(result, OutcomeUnknownError)
    told_unsent = isinstance(result, ConnectError)
    return None if told_unknown or (told_unsent and not made) else f"{alias}, made {made} times: {result!r}"


async def _complaints(
    server: Greeter,
    serving: ssl.SSLContext | None = None,
    trusting: ssl.SSLContext | None = None,
    *,
    creates: int = CREATES,
) -> list[str]:
    found: list[str] = []
    numbers = iter(range(creates))

    async def work(url: str) -> None:
        for number in numbers:
            # A client for each, so that each has a connection that nobody has used.
            async with AsyncClient(AUTH_ID, "t", base_url=url, ssl_context=trusting) as client:
                complaint = await _complaint(client, f"a{number}", server)
            found.extend([complaint] if complaint else [])

    async with await asyncio.start_server(server.converse, "127.0.0.1", 0, ssl=serving) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = f"{'https' if serving else 'http'}://127.0.0.1:{port}"
        await asyncio.gather(*[work(url) for _ in range(AT_ONCE)])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_speaks_first_on_new_connections(scheme: str) -> None:
    """No create is sent twice, called refused though it was made, or given another's answer."""
    serving, trusting = _contexts() if scheme == "https" else (None, None)
    server = Greeter()
    assert await _complaints(server, serving, trusting) == []
    assert server.greeted >= CREATES / 3


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting


@pytest.mark.parametrize("late", [None, 0.01])
async def test_half_a_word_first(late: float | None) -> None:
    """In short: a create is refused on such a connection, and sent on the next one."""
    server = Greeter(at_first=12, late=late)
    assert await _complaints(server, creates=20) == []
    assert server.greeted >= 5


@pytest.mark.slow
@pytest.mark.parametrize("at_first", [1, 12])
async def test_a_server_that_says_half_a_word_first(at_first: int) -> None:
    """What began before the request is no answer to it, though its head is whole only afterwards."""
    server = Greeter(at_first=at_first)
    assert await _complaints(server) == []
    assert server.greeted >= CREATES / 3


@pytest.mark.slow
async def test_two_answers_at_once() -> None:
    """Which of them is the create's nobody can say, so its outcome is unknown."""
    server = Greeter(with_answer=True)
    assert await _complaints(server) == []
    assert set(server.made.values()) == {1}

"""A server, or something before it, that speaks before it was asked, on connections that are new."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import pytest
import trustme

from plivo_endpoints import AsyncClient, ConnectError, CreatedEndpoint, OutcomeUnknownError, PlivoError
from tests.faults.account import AUTH_ID
from tests.faults.wire import make_answer

if TYPE_CHECKING:
    from types import TracebackType

CREATES: Final = 1_000
AT_ONCE: Final = 20
GREETINGS: Final = [
    make_answer(429, "Too Many Requests", b'{"error":"greeting"}', Retry_After="0").encode(),
    make_answer(400, "Bad Request", b'{"error":"greeting"}').encode(),
    make_answer(201, "Created", b'{"endpoint_id":"666","username":"mallory1"}').encode(),
]


class Greeter:
    """Greets half of its connections with an answer, then reads the request, carries it out and answers."""

    def __init__(self, context: ssl.SSLContext | None = None, *, with_answer: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._context = context
        self._with_answer = with_answer  # greets only when it answers, so that two answers come at once
        self._chance = random.Random(7)  # noqa: S311 - the same greetings in every run
        self.port: int = self._listener.getsockname()[1]
        self.made: Counter[str] = Counter()  # by alias
        self.greeted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        greeting = self._chance.choice(GREETINGS) if self._chance.random() < 0.5 else b""
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                if not self._with_answer:
                    connection.sendall(greeting)
                self.greeted += bool(greeting)
                while alias := _read_alias(connection):
                    self.made[alias] += 1
                    answer = make_answer(201, "Created", _created(alias)).encode()
                    connection.sendall(greeting + answer if self._with_answer else answer)


def _read_alias(connection: socket.socket) -> str | None:
    seen = b""
    while b"\r\n\r\n" not in seen or not seen.endswith(b"}"):
        chunk = connection.recv(65536)
        if not chunk:
            return None
        seen += chunk
    alias: str = json.loads(seen.partition(b"\r\n\r\n")[2])["alias"]
    return alias


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


async def _complaints(server: Greeter, scheme: str, context: ssl.SSLContext | None) -> list[str]:
    found: list[str] = []
    numbers = iter(range(CREATES))

    async def work() -> None:
        for number in numbers:
            # A client for each, so that each has a connection that nobody has used.
            async with AsyncClient(
                AUTH_ID, "t", base_url=f"{scheme}://127.0.0.1:{server.port}", ssl_context=context
            ) as client:
                complaint = await _complaint(client, f"a{number}", server)
            found.extend([complaint] if complaint else [])

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_speaks_first_on_new_connections(scheme: str) -> None:
    """No create is sent twice, called refused though it was made, or given another's answer."""
    authority = trustme.CA()
    serving, trusting = None, None
    if scheme == "https":
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
    with Greeter(serving) as server:
        complaints = await _complaints(server, scheme, trusting)
    assert complaints == []
    assert server.greeted >= CREATES / 3


@pytest.mark.slow
async def test_two_answers_at_once() -> None:
    """Which of them is the create's nobody can say, so its outcome is unknown."""
    with Greeter(with_answer=True) as server:
        complaints = await _complaints(server, "http", None)
    assert complaints == []
    assert set(server.made.values()) == {1}

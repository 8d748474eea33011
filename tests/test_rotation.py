"""An auth token that a function returns, so that it can be replaced without a restart."""

from __future__ import annotations

from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from plivo_endpoints import (
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    Client,
    InvalidArgumentError,
    TransportError,
)
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


@pytest.mark.parametrize("with_session", [False, True])
async def test_each_request_carries_the_current_token(sandbox: Sandbox, *, with_session: bool) -> None:
    """A token that is replaced is used from then on, in a session of the caller's too."""
    current = ["0" * 40]
    async with aiohttp.ClientSession() as session:
        async with AsyncClient(
            sandbox.auth_id,
            lambda: current[0],
            base_url=sandbox.base_url,
            session=session if with_session else None,
        ) as client:
            with pytest.raises(AuthenticationError):
                await client.endpoints.list_page()
            current[0] = sandbox.auth_token
            assert () == (await client.endpoints.list_page()).objects
        assert "Authorization" not in session.headers


def test_the_blocking_client_asks_the_function_too(threaded_sandbox: Sandbox) -> None:
    """It is called for each attempt."""
    called: list[str] = []

    def current() -> str:
        called.append(threaded_sandbox.auth_token)
        return called[0]

    threaded_sandbox.inject(Fault(applied=False, status=503))
    with Client(threaded_sandbox.auth_id, current, base_url=threaded_sandbox.base_url) as client:
        assert [] == called
        client.tokens.create(sub="alice")
    assert 2 == len(called)


async def test_errors_show_neither_the_current_token_nor_the_one_before(sandbox: Sandbox) -> None:
    """A server may echo the one that a slow request carried."""
    tokens = ["firstCanary0000000000", "secondCanary111111111"]
    async with AsyncClient(sandbox.auth_id, lambda: tokens[0], base_url=sandbox.base_url) as client:
        with pytest.raises(AuthenticationError):
            await client.endpoints.list_page()
        first = tokens.pop(0)
        sandbox.inject(Fault(applied=False, status=400, body=f'{{"error": "{first} {tokens[0]} no"}}'))
        with pytest.raises(BadRequestError) as refused:
            await client.endpoints.list_page()
        assert first not in repr(vars(client))
    assert "Canary" not in str(refused.value)
    assert refused.value.message.endswith(" no")


@pytest.mark.parametrize("returned", [None, b"token", "", "two\nlines", "naïve", 5])
async def test_a_function_that_returns_no_token(sandbox: Sandbox, returned: Any) -> None:
    """It is refused by name at the call, and nothing is sent; no frame of the library shows it."""
    async with AsyncClient(sandbox.auth_id, lambda: returned, base_url=sandbox.base_url) as client:
        with pytest.raises(InvalidArgumentError) as refused:
            await client.tokens.create(sub="alice")
    assert ("auth_token", ()) == (refused.value.field, sandbox.requests)
    frames = [frame for frame, _ in walk_tb(refused.value.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals["__name__"].startswith("plivo_endpoints")]
    assert ours
    if returned:
        assert returned not in [value for frame in ours for value in frame.f_locals.values()]


async def test_a_function_that_raises(sandbox: Sandbox) -> None:
    """The error says so, and has the function's own as its cause; nothing is sent."""

    def fail() -> str:
        raise OSError("the vault is sealed")

    async with AsyncClient(sandbox.auth_id, fail, base_url=sandbox.base_url) as client:
        with pytest.raises(
            InvalidArgumentError, match="the function that returns it raised OSError"
        ) as refused:
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert isinstance(refused.value.__cause__, OSError)
    assert () == sandbox.requests


async def test_a_function_that_fails_after_an_attempt_was_sent(sandbox: Sandbox) -> None:
    """The call says that it may have been carried out, as the error of that attempt does."""
    tokens = [sandbox.auth_token]
    sandbox.seed(1)
    made = next(iter(sandbox.endpoints))
    sandbox.inject(Fault(applied=True, reset=True))
    async with AsyncClient(sandbox.auth_id, tokens.pop, base_url=sandbox.base_url) as client:
        with pytest.raises(TransportError) as lost:
            await client.endpoints.update(made, alias="lobby")
    assert ("unknown", "lobby") == (lost.value.sent, sandbox.endpoints[made].alias)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_function_that_ends_the_program(threaded_sandbox: Sandbox, kind: type[BaseException]) -> None:
    """The caller gets it, of a cached token too; the client goes on working."""
    ends = [True]

    def current() -> str:
        if ends[0]:
            raise kind
        return threaded_sandbox.auth_token

    with Client(threaded_sandbox.auth_id, current, base_url=threaded_sandbox.base_url) as client:
        with pytest.raises(kind):
            client.tokens.cached(sub="alice")
        ends[0] = False
        assert client.tokens.cached(sub="alice").claims is not None


async def test_a_coroutine_is_no_token(sandbox: Sandbox) -> None:
    """It is refused by name when it is returned, and closed, so that Python does not warn of it."""

    async def current() -> str:
        return sandbox.auth_token

    async with AsyncClient(
        sandbox.auth_id,
        lambda: current(),  # type: ignore[arg-type, return-value]  # noqa: PLW0108  # pyright: ignore[reportArgumentType]
        base_url=sandbox.base_url,
    ) as client:
        with pytest.raises(InvalidArgumentError, match="a coroutine would never be awaited"):
            await client.tokens.create(sub="alice")


def test_a_coroutine_function_is_refused(sandbox: Sandbox) -> None:
    """When the client is made: its result would never be awaited."""

    async def current() -> str:
        return sandbox.auth_token

    with pytest.raises(InvalidArgumentError, match="auth_token: must be text, or a plain function"):
        AsyncClient(sandbox.auth_id, current)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

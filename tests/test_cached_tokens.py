"""Tokens that are cached and refreshed: who waits, for what, and what they get."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plivo_endpoints import (
    AsyncClient,
    Client,
    ClientStateError,
    ForbiddenError,
    InvalidArgumentError,
    ServerError,
    Token,
)
from plivo_endpoints import _token_cache as token_cache
from plivo_endpoints._clock import CLOCK
from plivo_endpoints._config import CallOptions
from plivo_endpoints._request_models import NewToken
from plivo_endpoints._token_cache import TokenCache, TokenKey
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

LIFETIME: Final = 3600
BEFORE: Final = 600.0
OPTIONS: Final = CallOptions(timeout=5.0, max_attempts=3)
DUE: Final = (LIFETIME - BEFORE) * 3 / 4 + 1  # seconds after which a token is renewed


class Clocks:
    """The system clock and the monotonic clock, which tests move."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.monotonic = 5_000.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Replace the clocks by some that tests move."""
    return use_clocks(monkeypatch)


def use_clocks(patch: pytest.MonkeyPatch) -> Clocks:
    """Replace the clocks of the library."""
    made = Clocks()
    patch.setattr(CLOCK, "wall", lambda: made.wall)
    patch.setattr(CLOCK, "monotonic", lambda: made.monotonic)
    return made


class Service:
    """Issues tokens, each after `wait_for`, and counts them."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.begun = 0
        self.ended = 0
        self.cancelled = 0
        self.lifetime = float(LIFETIME)
        self.takes = 0.0  # seconds
        self.step = 0.0  # of the system clock, meanwhile
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def mint(self) -> Token:
        """Issue a token."""
        self.begun += 1
        end = self.clocks.wall + self.lifetime
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as for a connection that is closed
            self.cancelled += 1
            raise
        self.ended += 1
        self.clocks.advance(self.takes)
        self.clocks.wall += self.step
        self.step = 0.0
        if self.failure is not None:
            raise self.failure
        return Token(jwt=f"token {self.ended}", claims=None, expires_at=datetime.fromtimestamp(end, UTC))


@pytest.fixture
async def service(clocks: Clocks) -> Service:
    """Give a service that issues tokens at once."""
    return Service(clocks)


@pytest.fixture
def cache() -> TokenCache:
    """Give an empty cache."""
    return TokenCache()


def key_of(sub: str) -> TokenKey:
    """Return what a visitor asks for."""
    return TokenKey(NewToken(iss="MA", sub=sub), LIFETIME)


async def ask(cache: TokenCache, service: Service, sub: str = "alice", before: float = BEFORE) -> str:
    """Ask for a token as a visitor does."""
    return (await cache.get(key_of(sub), OPTIONS, service.mint, before)).jwt


async def let_others_run() -> None:
    """Give what is under way the turns that it needs."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_with_the_same_arguments_get_the_same_token(
    client: AsyncClient, sandbox: Sandbox
) -> None:
    """The same arguments get the same token; any other gets one of its own. Views share them."""
    view = client.with_options(timeout=5.0)
    first = await client.tokens.cached(sub="alice", outgoing_allow=True)
    assert first is await view.tokens.cached(sub="alice", outgoing_allow=True)
    others: list[dict[str, Any]] = [
        {"sub": "bob"},
        {"incoming_allow": True},
        {"outgoing_allow": False},
        {"app": "42"},
        {"lifetime": timedelta(hours=1)},
    ]
    for other in others:
        arguments: dict[str, Any] = {"sub": "alice", "outgoing_allow": True, **other}
        assert first.jwt != (await client.tokens.cached(**arguments)).jwt
    assert 1 + len(others) == len(sandbox.requests)


async def test_the_claims_of_a_cached_token(client: AsyncClient, sandbox: Sandbox) -> None:
    """It begins ten seconds ago, for clocks that differ, and lasts as long as asked for."""
    token = await client.tokens.cached(
        sub="alice", lifetime=timedelta(hours=1), incoming_allow=True, app="42"
    )
    (claims,) = sandbox.tokens
    assert {"incoming_allow": True, "outgoing_allow": False} == claims["per"]["voice"]  # type: ignore[call-overload, index]
    assert ["alice", "42", sandbox.auth_id] == [claims["sub"], claims["app"], claims["iss"]]
    assert token.claims is not None
    assert token.claims.nbf is not None
    assert timedelta(hours=1) == token.expires_at - token.claims.nbf
    assert 8 < (datetime.now(UTC) - token.claims.nbf).total_seconds() < 30


async def test_concurrent_callers_share_one_request(client: AsyncClient, sandbox: Sandbox) -> None:
    """Two hundred that ask at once wait for the same request."""
    tokens = await asyncio.gather(*(client.tokens.cached(sub="alice") for _ in range(200)))
    assert ({tokens[0].jwt}, 1) == ({token.jwt for token in tokens}, len(sandbox.requests))


@pytest.mark.slow
async def test_many_visitors_of_few_names(client: AsyncClient, sandbox: Sandbox) -> None:
    """Ten thousand visitors of a thousand names, in random order: one request for each name."""
    subs = [f"user{number % 1000}" for number in range(10_000)]
    random.Random(1).shuffle(subs)  # noqa: S311 - repeatable on purpose
    tokens = await asyncio.gather(*(client.tokens.cached(sub=sub, outgoing_allow=True) for sub in subs))
    assert 1000 == len(sandbox.requests) == len({token.jwt for token in tokens})
    assert subs == [token.claims.sub for token in tokens if token.claims]


def test_threads_share_what_a_blocking_client_keeps(
    blocking_client: Client, threaded_sandbox: Sandbox
) -> None:
    """They make one request too; after `invalidate` there is another."""

    def cached(_: int) -> str:
        return blocking_client.tokens.cached(sub="alice").jwt

    with ThreadPoolExecutor(20) as pool:
        assert 1 == len(set(pool.map(cached, range(40))))
    assert 1 == len(threaded_sandbox.requests)
    blocking_client.tokens.invalidate("alice")
    cached(0)
    assert 2 == len(threaded_sandbox.requests)


async def test_nobody_waits_for_a_refresh(cache: TokenCache, service: Service, clocks: Clocks) -> None:
    """In the last quarter the old token serves, while one request for a new one is under way."""
    await ask(cache, service)
    clocks.advance(DUE - 2)
    assert ("token 1", 1) == (await ask(cache, service), service.begun)
    clocks.advance(2)
    service.open.clear()
    assert ["token 1"] * 9 == [await ask(cache, service) for _ in range(9)]
    await let_others_run()
    assert 2 == service.begun
    service.open.set()
    await let_others_run()
    assert ("token 2", 2) == (await ask(cache, service), service.begun)


async def test_callers_share_the_request_for_an_expired_token(
    cache: TokenCache, service: Service, clocks: Clocks
) -> None:
    """Two hundred that come after its time get the one new token."""
    await ask(cache, service)
    clocks.advance(LIFETIME - BEFORE + 1)
    answers = await asyncio.gather(*(ask(cache, service) for _ in range(200)))
    assert ({"token 2"}, 2) == (set(answers), service.begun)


async def test_a_refresh_that_is_late_is_waited_for(
    cache: TokenCache, service: Service, clocks: Clocks
) -> None:
    """If the old token may no longer be returned, its refresh is joined, not repeated."""
    await ask(cache, service)
    clocks.advance(DUE)
    service.open.clear()
    await ask(cache, service)
    clocks.advance(LIFETIME - BEFORE - DUE + 1)
    waiting = asyncio.create_task(ask(cache, service))
    await let_others_run()
    assert not waiting.done()
    service.open.set()
    assert ("token 2", 2) == (await waiting, service.begun)


async def test_a_failed_refresh_is_tried_again_later(
    cache: TokenCache, service: Service, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    """The old token serves as long as it may; attempts come closer together, but not one for each visitor."""
    await ask(cache, service)
    service.failure = ServerError("down", status=503, api_id=None, method="POST", path="JWT/Token/")
    begun: list[int] = []
    for seconds in (DUE, 370, 10, 160, 30):
        clocks.advance(seconds)
        for _ in range(10):
            assert "token 1" == await ask(cache, service)
            await let_others_run()
        begun.append(service.begun)
    # It fails 749 s before the token may no longer be returned, and is tried again after half of them.
    assert [2, 2, 3, 3, 4] == begun
    assert 3 == caplog.text.count("a cached token could not be refreshed: POST JWT/Token/ answered 503")
    service.failure = None
    clocks.advance(LIFETIME)
    assert "token 5" == await ask(cache, service)


async def test_without_a_token_the_failure_is_raised(cache: TokenCache, service: Service) -> None:
    """All who wait hear of it, and the next one tries again."""
    service.failure = ServerError("down", status=503, api_id=None, method="POST", path="JWT/Token/")
    heard = await asyncio.gather(*(ask(cache, service) for _ in range(20)), return_exceptions=True)
    assert ([str(service.failure)] * 20, 1) == ([str(error) for error in heard], service.begun)
    assert 20 == len({id(error) for error in heard})  # each its own: a traceback shows what others did
    service.failure = None
    assert "token 2" == await ask(cache, service)


async def test_a_cancelled_caller_takes_nothing_from_the_others(cache: TokenCache, service: Service) -> None:
    """The request goes on as long as somebody waits; the last one who leaves ends it."""
    service.open.clear()
    first, second = (asyncio.create_task(ask(cache, service)) for _ in range(2))
    await let_others_run()
    first.cancel()
    await let_others_run()
    assert (True, False, 0) == (first.cancelled(), second.done(), service.cancelled)
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    assert (1, 0, 1) == (service.begun, service.ended, service.cancelled)
    service.open.set()
    assert "token 1" == await ask(cache, service)


async def test_who_comes_while_a_request_is_cancelled_gets_another(
    cache: TokenCache, service: Service
) -> None:
    """A request that ends because nobody wanted it is no answer to who wants it now."""
    service.open.clear()
    leaving = asyncio.create_task(ask(cache, service))
    await let_others_run()
    leaving.cancel()
    coming = asyncio.create_task(ask(cache, service))
    await let_others_run()
    service.open.set()
    assert ("token 1", 2) == (await coming, service.begun)


async def test_a_refresh_goes_on_when_its_caller_is_cancelled(
    cache: TokenCache, service: Service, clocks: Clocks
) -> None:
    """It goes on for all who come later."""
    await ask(cache, service)
    clocks.advance(DUE)
    service.open.clear()
    await ask(cache, service)
    clocks.advance(LIFETIME)
    waiting = asyncio.create_task(ask(cache, service))
    await let_others_run()
    waiting.cancel()
    await let_others_run()
    service.open.set()
    await let_others_run()
    assert (2, 0) == (service.ended, service.cancelled)


async def test_invalidate_forgets_a_sub_or_all(cache: TokenCache, service: Service) -> None:
    """Others stay; what is under way is given to the callers who wait for it, but not cached."""
    await ask(cache, service, "alice")
    await ask(cache, service, "bob")
    cache.invalidate("alice")
    assert ["token 2", "token 3"] == [await ask(cache, service, sub) for sub in ("bob", "alice")]
    cache.invalidate(None)
    service.open.clear()
    waiting = asyncio.create_task(ask(cache, service, "bob"))
    await let_others_run()
    cache.invalidate("bob")
    service.open.set()
    assert ["token 4", "token 5"] == [await waiting, await ask(cache, service, "bob")]


async def test_views_with_other_options_share_no_request(client: AsyncClient, sandbox: Sandbox) -> None:
    """A call times out by its own timeout, whatever others wait for; what they get is cached for all."""
    sandbox.inject(Fault(applied=True, latency=600))
    patient = asyncio.create_task(client.tokens.cached(sub="alice"))
    while not sandbox.tokens:
        await asyncio.sleep(0)
    quick = client.with_options(timeout=5.0)
    token = await quick.tokens.cached(sub="alice")
    assert (2, token) == (len(sandbox.tokens), await client.tokens.cached(sub="alice"))
    patient.cancel()


def test_invalidate_reaches_every_event_loop(threaded_sandbox: Sandbox) -> None:
    """A client that is used in two loops forgets a visitor's tokens in both."""
    client = AsyncClient(
        threaded_sandbox.auth_id, threaded_sandbox.auth_token, base_url=threaded_sandbox.base_url
    )

    async def cached() -> Token:
        return await client.tokens.cached(sub="alice")

    with asyncio.Runner() as one, asyncio.Runner() as other:
        first = one.run(cached())
        assert first is one.run(cached())
        other.run(client.tokens.invalidate("alice"))
        assert first is not one.run(cached())
        one.run(client.close())


async def test_a_closed_client_keeps_nothing(sandbox: Sandbox) -> None:
    """Who waits hears that it was closed, and so does who asks later."""
    client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url)
    await client.tokens.cached(sub="alice")
    sandbox.inject(Fault(applied=True, latency=600))
    waiting = asyncio.create_task(client.tokens.cached(sub="bob"))
    while len(sandbox.tokens) < 2:
        await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ClientStateError, match="closed during the call"):
        await waiting
    with pytest.raises(ClientStateError, match="the client is closed"):
        await client.tokens.cached(sub="alice")
    assert "plivo-endpoints token" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_closing_that_is_cancelled_closes_the_connections(sandbox: Sandbox) -> None:
    """Also while a token is requested."""
    client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url)
    await client.tokens.cached(sub="alice")
    (state,) = client._connections._loops.values()
    session = state.transport._session
    assert session is not None
    sandbox.inject(Fault(applied=True, latency=600))
    waiting = asyncio.create_task(client.tokens.cached(sub="bob"))
    while len(sandbox.tokens) < 2:
        await asyncio.sleep(0)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing, waiting})
    assert session.closed
    assert isinstance(waiting.exception(), ClientStateError)


def test_a_closed_blocking_client_keeps_no_token(threaded_sandbox: Sandbox) -> None:
    """While the client itself is still referred to."""
    client = Client(threaded_sandbox.auth_id, threaded_sandbox.auth_token, base_url=threaded_sandbox.base_url)
    token = weakref.ref(client.tokens.cached(sub="alice"))
    assert token() is not None
    client.close()
    gc.collect()
    assert token() is None


async def test_the_least_recently_used_are_evicted(
    cache: TokenCache, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit, the token that was used longest ago is dropped."""
    monkeypatch.setattr(token_cache, "MAX_TOKENS", 3)
    for sub in ("a", "b", "c", "a", "d"):
        await ask(cache, service, sub)
    assert ["token 1", "token 3", "token 4", "token 5"] == [
        await ask(cache, service, sub) for sub in ("a", "c", "d", "b")
    ]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("lifetime", {"lifetime": timedelta(seconds=179)}),
        ("lifetime", {"lifetime": timedelta(hours=25)}),
        ("lifetime", {"lifetime": 3600}),
        ("lifetime", {"lifetime": None}),
        ("refresh_before", {"refresh_before": timedelta(seconds=-1)}),
        ("refresh_before", {"refresh_before": timedelta(hours=24)}),
        ("refresh_before", {"lifetime": timedelta(minutes=3), "refresh_before": timedelta(seconds=121)}),
        ("refresh_before", {"refresh_before": 60}),
        ("sub", {"incoming_allow": True}),
        ("sub", {"sub": ["alice"]}),
        ("app", {"app": "../42"}),
        ("outgoing_allow", {"outgoing_allow": "false"}),
    ],
)
async def test_invalid_arguments(
    client: AsyncClient, sandbox: Sandbox, field: str, arguments: dict[str, Any]
) -> None:
    """They are refused by name before anything is sent."""
    with pytest.raises(InvalidArgumentError) as refused:
        await client.tokens.cached(**arguments)
    assert (field, ()) == (refused.value.field, sandbox.requests)


async def test_the_shortest_lifetime_works(client: AsyncClient) -> None:
    """Three minutes go with the default of `refresh_before`."""
    token = await client.tokens.cached(lifetime=timedelta(minutes=3))
    assert token is await client.tokens.cached(lifetime=timedelta(minutes=3))


@pytest.mark.parametrize(
    ("asked", "lasts"),
    [({}, 86_400), ({"lifetime": timedelta(hours=1)}, 3600), ({"nbf": 2_000_000_000}, None)],
)
async def test_the_end_of_a_token_is_always_known(
    client: AsyncClient, sandbox: Sandbox, asked: dict[str, Any], lasts: int | None
) -> None:
    """If its claims cannot be read, it is what was asked for; Plivo's default is 24 hours."""
    sandbox.inject(Fault(applied=True, status=200, body='{"token": "opaque"}'))
    token = await client.tokens.create(sub="alice", **asked)
    start = int(time.time()) if lasts else 2_000_000_000
    assert abs(start + (lasts or 86_400) - token.expires_at.timestamp()) < 5
    assert (None, UTC) == (token.claims, token.expires_at.tzinfo)


async def test_a_token_that_is_too_short_is_returned_with_a_warning(
    cache: TokenCache, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """If Plivo issues less than was asked for, there is nothing better; each visitor costs one request."""
    service.lifetime = 300
    assert ["token 1", "token 2"] == [await ask(cache, service) for _ in range(2)]
    assert 2 == caplog.text.count("Plivo issued a token that ends earlier than refresh_before allows")


async def test_a_worse_token_does_not_replace_a_better_one(
    cache: TokenCache, service: Service, clocks: Clocks
) -> None:
    """If a refresh brings a token that ends sooner, the old one is returned, and refreshed again later."""
    await ask(cache, service)
    clocks.advance(DUE)
    service.lifetime = 660
    for _ in range(10):
        assert "token 1" == await ask(cache, service)
        await let_others_run()
    assert 2 == service.begun


async def test_a_token_that_is_not_valid_yet(cache: TokenCache, service: Service, clocks: Clocks) -> None:
    """If the clock was fast, and is set back, the token begins in the future, so there is another."""
    await ask(cache, service)
    clocks.wall -= 5
    assert "token 1" == await ask(cache, service)
    clocks.wall -= 3600
    assert "token 2" == await ask(cache, service)


async def test_a_refresh_runs_in_no_ones_context(cache: TokenCache, service: Service, clocks: Clocks) -> None:
    """What one visitor's request has set is not seen in a refresh for all."""
    visitor = ContextVar("visitor", default="nobody")
    seen: list[str] = []

    async def create() -> Token:
        seen.append(visitor.get())
        return await service.mint()

    visitor.set("alice")
    for _ in range(2):
        await cache.get(key_of("alice"), OPTIONS, create, BEFORE)
        clocks.advance(DUE)
    await cache.get(key_of("alice"), OPTIONS, create, BEFORE)
    await let_others_run()
    assert ["alice", "nobody"] == seen


async def test_an_error_that_nobody_waits_for(cache: TokenCache, service: Service) -> None:
    """It is not reported by asyncio, as one that was never retrieved would be."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    service.open.clear()
    service.failure = ServerError("down", status=503, api_id=None, method="POST", path="JWT/Token/")
    waiting = asyncio.create_task(ask(cache, service))
    await let_others_run()
    cache.invalidate(None)
    service.open.set()
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    del waiting
    gc.collect()
    assert [] == reported


async def test_a_failed_call_leaves_no_cycle(client: AsyncClient, sandbox: Sandbox) -> None:
    """The collector has nothing to do after it."""
    sandbox.inject(Fault(applied=False, status=403), rate=1.0)
    for _ in range(2):  # the first call imports and connects
        gc.collect()
        with pytest.raises(ForbiddenError):
            await client.tokens.cached(sub="alice")
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = [type(each).__name__ for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert [] == [name for name in found if name in {"ForbiddenError", "_InFlight", "frame", "Task"}]


async def test_a_clock_that_is_set_during_a_request(cache: TokenCache, service: Service) -> None:
    """A token that was requested by a slow clock ends too early, so there is another."""
    service.step = LIFETIME
    assert ("token 2", 2) == (await ask(cache, service), service.begun)


Step = tuple[str, float]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 4000)),
        st.tuples(st.just("sleep"), st.floats(0, 4000)),  # the machine's: the monotonic clock stands still
        st.tuples(st.just("set clock"), st.floats(-5000, 5000)),
        st.tuples(st.just("slow"), st.floats(0, 60)),
        st.tuples(st.just("fail"), st.booleans().map(float)),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def moving_clocks() -> Iterator[Clocks]:
    """Replace the clocks for all examples of a property."""
    with pytest.MonkeyPatch.context() as patch:
        yield use_clocks(patch)


@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_a_token_has_enough_time_left(moving_clocks: Clocks, steps: list[Step]) -> None:
    """By the clock as it is then, and by the time that has passed, however the clock is set."""
    asyncio.run(_visit(moving_clocks, steps))


async def _visit(clocks: Clocks, steps: list[Step]) -> None:
    cache, service = TokenCache(), Service(clocks)
    minted_at: dict[str, float] = {}

    async def mint() -> Token:
        at = clocks.monotonic
        token = await service.mint()
        minted_at[token.jwt] = at
        return token

    for step, amount in steps:
        _change(service, step, amount)
        with suppress(ServerError):
            token = await cache.get(key_of("alice"), OPTIONS, mint, BEFORE)
            assert token.expires_at.timestamp() - clocks.wall >= BEFORE
            assert minted_at[token.jwt] + LIFETIME - clocks.monotonic >= BEFORE
        await let_others_run()
    await cache.aclose()


def _change(service: Service, step: str, amount: float) -> None:
    if step == "pass":
        service.clocks.advance(amount)
    elif step in {"sleep", "set clock"}:
        service.clocks.wall += amount
    elif step == "slow":
        service.takes = amount
    else:
        down = ServerError("down", status=503, api_id=None, method="POST", path="JWT/Token/")
        service.failure = down if amount else None

"""The token endpoint for visitors, on aiohttp and as an ASGI app: the same answers from both."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from attrs import frozen

from plivo_endpoints import AsyncClient, ClientStateError, InvalidArgumentError, RateLimit
from plivo_endpoints.sandbox import Fault, Sandbox
from plivo_endpoints.token_service import AccessDeniedError, Grant, aiohttp_handler, asgi_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
    from contextlib import AbstractAsyncContextManager

SHOP: Final = "https://shop.example"


@frozen
class Answer:
    """A response to a visitor."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The text of a refusal."""
        return str(json.loads(self.body)["error"])


if TYPE_CHECKING:
    Ask = Callable[..., Awaitable[Answer]]
    Serve = Callable[..., AbstractAsyncContextManager[Ask]]
    Hook = Callable[[Mapping[str, str]], Grant]


@asynccontextmanager
async def on_aiohttp(client: AsyncClient, hook: Hook, **options: Any) -> AsyncGenerator[Ask]:
    """Serve the handler of aiohttp."""

    async def authorize(request: web.Request) -> Grant:
        return hook({name.lower(): value for name, value in request.headers.items()})

    app = web.Application()
    app.router.add_route("*", "/token", aiohttp_handler(client, authorize, **options))
    async with TestClient(TestServer(app)) as browser:

        async def ask(method: str = "POST", **headers: str) -> Answer:
            async with browser.request(method, "/token", headers=headers) as response:
                return Answer(response.status, response.headers, await response.read())

        yield ask


@asynccontextmanager
async def as_asgi(client: AsyncClient, hook: Hook, **options: Any) -> AsyncGenerator[Ask]:
    """Call the ASGI app as a server does."""

    async def authorize(scope: MutableMapping[str, object]) -> Grant:
        pairs = cast("list[tuple[bytes, bytes]]", scope["headers"])
        return hook({name.decode(): value.decode() for name, value in pairs})

    app = asgi_app(client, authorize, **options)

    async def ask(method: str = "POST", **headers: str) -> Answer:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await app({"type": "http", "method": method, "headers": pairs}, _nothing, send)
        start, body = sent
        read = {name.decode().title(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], read, body["body"])

    yield ask


async def _nothing() -> Mapping[str, object]:
    raise AssertionError("the body is not read")


@pytest.fixture(params=[on_aiohttp, as_asgi])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Give each framework in turn."""
    return cast("Serve", request.param)


def grant_all(_: Mapping[str, str]) -> Grant:
    """Let everybody call."""
    return Grant(sub="alice123", outgoing_allow=True)


async def test_a_visitor_gets_a_token(serve: Serve, client: AsyncClient, sandbox: Sandbox) -> None:
    """It says what the hook granted; the next visitor of that name gets the same one, without a request."""

    def authorize(headers: Mapping[str, str]) -> Grant:
        return Grant(sub=headers["x-user"], app="42", incoming_allow=True)

    async with serve(client, authorize) as ask:
        answer = await ask(**{"X-User": "alice123"})
        assert answer.body == (await ask(**{"X-User": "alice123"})).body
    document = json.loads(answer.body)
    claims = jwt.decode(document["jwt"], sandbox.auth_token, algorithms=["HS256"])
    assert ["alice123", "42"] == [claims["sub"], claims["app"]]
    assert {"incoming_allow": True, "outgoing_allow": False} == claims["per"]["voice"]
    assert claims["exp"] == datetime.fromisoformat(document["expires_at"]).timestamp()
    assert (3600, True) == (claims["exp"] - claims["nbf"], document["expires_at"].endswith("+00:00"))
    assert (200, 1) == (answer.status, len(sandbox.requests))
    assert "no-store" == answer.headers["Cache-Control"]
    assert "application/json" == answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("denied", "expected"),
    [
        (AccessDeniedError("log in first", status=401), (401, "log in first")),
        (AccessDeniedError(), (403, "access denied")),
    ],
)
async def test_a_visitor_whom_the_hook_refuses(
    serve: Serve, client: AsyncClient, sandbox: Sandbox, denied: AccessDeniedError, expected: object
) -> None:
    """Status and text are the hook's; nothing is requested."""

    def authorize(_: Mapping[str, str]) -> Grant:
        raise denied

    async with serve(client, authorize) as ask:
        answer = await ask()
    assert (expected, ()) == ((answer.status, answer.error), sandbox.requests)


@pytest.mark.parametrize("outcome", [RuntimeError("the session store is down"), None, "alice"])
async def test_a_hook_that_fails(
    serve: Serve,
    client: AsyncClient,
    sandbox: Sandbox,
    outcome: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The visitor hears that the endpoint failed, and the log says why; there is no token."""

    def authorize(_: Mapping[str, str]) -> Grant:
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Grant", outcome)

    async with serve(client, authorize) as ask:
        answer = await ask()
    assert (500, "the token endpoint failed", ()) == (answer.status, answer.error, sandbox.requests)
    expected = "the session store is down" if isinstance(outcome, Exception) else "must return a Grant, not"
    assert expected in caplog.text
    assert "Retry-After" not in answer.headers


def test_a_refusal_with_another_status() -> None:
    """A hook can only say that visitors have to log in, or may not call."""
    with pytest.raises(ValueError, match="status must be 401 or 403"):
        AccessDeniedError("no", status=204)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_hook_that_is_not_async(client: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is wrong with it."""

    def authorize(_: object) -> Grant:
        return Grant(sub="alice")

    app = asgi_app(client, authorize)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "headers": []}, _nothing, send)
    assert 500 == sent[0]["status"]
    assert "authorize must be an async function" in caplog.text


async def test_a_grant_that_breaks_a_rule(
    serve: Serve, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the endpoint's fault, not the visitor's."""

    def authorize(_: Mapping[str, str]) -> Grant:
        return Grant(sub="")

    async with serve(client, authorize) as ask:
        answer = await ask()
    assert 500 == answer.status
    assert "a visitor got no token: sub: must be a non-empty string" in caplog.text


async def test_errors_of_aiohttp_in_its_hook(client: AsyncClient) -> None:
    """They are the response, as in any handler: a hook may send visitors to the login page."""

    def authorize(_: Mapping[str, str]) -> Grant:
        raise web.HTTPUnauthorized(text="who are you?")

    async with on_aiohttp(client, authorize) as ask:
        answer = await ask()
    assert (401, b"who are you?") == (answer.status, answer.body)


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        (Fault(applied=False, status=429, headers={"Retry-After": "7"}), 503, "7"),
        (Fault(applied=False, status=503), 502, "5"),
        (Fault(applied=False, status=503, headers={"Retry-After": "1e9"}), 502, "5"),
        (Fault(applied=False, status=429, headers={"Retry-After": "99999"}), 503, "3600"),
        (Fault(applied=False, status=401), 500, None),
        (Fault(applied=False, status=400), 500, None),
        (Fault(applied=True, status=200, body="<html>"), 502, "5"),
        (Fault(applied=False, reset=True), 502, "5"),
        (Fault(applied=True, latency=60), 504, "5"),
    ],
)
async def test_when_plivo_gives_no_token(
    serve: Serve, sandbox: Sandbox, fault: Fault, status: int, retry_after: str | None
) -> None:
    """The status says whose fault it is, and Retry-After when to come again."""
    sandbox.inject(fault, rate=1.0)
    timeout = 0.2 if fault.latency else 3.0
    async with (
        AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, timeout=timeout, max_attempts=1
        ) as client,
        serve(client, grant_all) as ask,
    ):
        answer = await ask()
    assert (status, retry_after) == (answer.status, answer.headers.get("Retry-After"))
    assert answer.error in {
        "too many requests, try again later",
        "the telephony service takes too long",
        "the telephony service is not available",
        "the token endpoint failed",
    }


async def test_when_the_rate_limit_leaves_no_place(serve: Serve, sandbox: Sandbox) -> None:
    """The visitor is asked to come again; nothing is sent."""
    async with (
        AsyncClient(
            sandbox.auth_id,
            sandbox.auth_token,
            base_url=sandbox.base_url,
            timeout=1.0,
            rate_limit=RateLimit(1, 60.0),
        ) as client,
        serve(client, grant_all) as ask,
    ):
        await client.endpoints.list_page()
        answer = await ask()
    assert (503, "5") == (answer.status, answer.headers["Retry-After"])
    assert 1 == len(sandbox.requests)


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_only_post_is_served(serve: Serve, client: AsyncClient, sandbox: Sandbox, method: str) -> None:
    """Browsers and proxies may fetch again, or ahead, what a GET returned."""
    async with serve(client, grant_all) as ask:
        answer = await ask(method, Origin=SHOP)
    assert (405, "POST", "use POST") == (answer.status, answer.headers["Allow"], answer.error)
    assert () == sandbox.requests


async def test_other_sites_are_left_out_by_default(serve: Serve, client: AsyncClient) -> None:
    """No header lets their pages read a token."""
    async with serve(client, grant_all) as ask:
        answer = await ask(Origin=SHOP)
    assert [] == [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.example", "null"])
async def test_sites_that_are_not_named(serve: Serve, client: AsyncClient, origin: str) -> None:
    """Naming one lets in no other."""
    async with serve(client, grant_all, allow_origins=[SHOP]) as ask:
        answer, preflight = await ask(Origin=origin), await ask("OPTIONS", Origin=origin)
    assert [] == [name for name in answer.headers if name.lower().startswith("access-control")]
    assert ("Origin", 405) == (answer.headers["Vary"], preflight.status)


async def test_a_site_that_is_named(serve: Serve, client: AsyncClient) -> None:
    """Its pages may ask, with cookies, and read refusals too; the preflight asks no hook."""

    def authorize(headers: Mapping[str, str]) -> Grant:
        if "cookie" not in headers:
            raise AccessDeniedError(status=401)
        return grant_all(headers)

    async with serve(client, authorize, allow_origins={SHOP}) as ask:
        preflight = await ask("OPTIONS", **{"Origin": SHOP, "Access-Control-Request-Headers": "x-csrf-token"})
        answers = [await ask(Origin=SHOP, Cookie="session=1"), await ask(Origin=SHOP)]
    assert (204, b"") == (preflight.status, preflight.body)
    assert ["POST", "x-csrf-token"] == [
        preflight.headers[f"Access-Control-Allow-{what}"] for what in ("Methods", "Headers")
    ]
    assert [200, 401] == [answer.status for answer in answers]
    for answer in (preflight, *answers):
        assert (SHOP, "true", "Retry-After", "Origin") == (
            answer.headers["Access-Control-Allow-Origin"],
            answer.headers["Access-Control-Allow-Credentials"],
            answer.headers["Access-Control-Expose-Headers"],
            answer.headers["Vary"],
        )


@pytest.mark.parametrize("make", [aiohttp_handler, asgi_app])
@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("allow_origins", {"allow_origins": "*"}),
        ("allow_origins", {"allow_origins": ["*"]}),
        ("allow_origins", {"allow_origins": ["null"]}),
        ("allow_origins", {"allow_origins": ["https://shop.example/"]}),
        ("allow_origins", {"allow_origins": [b"https://shop.example"]}),
        ("allow_origins", {"allow_origins": None}),
        ("allow_origins", {"allow_origins": iter(["https://shop.example"])}),
        ("allow_origins", {"allow_origins": ["https://shop.example:443"]}),
        ("allow_origins", {"allow_origins": ["http://["]}),
        ("client", {"client": "client"}),
        ("authorize", {"authorize": None}),
        ("lifetime", {"lifetime": timedelta(minutes=2)}),
        ("refresh_before", {"refresh_before": timedelta(hours=1)}),
    ],
)
def test_invalid_options(
    make: Callable[..., object], client: AsyncClient, field: str, options: dict[str, Any]
) -> None:
    """They are refused when the endpoint is made."""

    async def authorize(_: object) -> Grant:
        return Grant(sub="alice")

    with pytest.raises(InvalidArgumentError) as refused:
        make(**{"client": client, "authorize": authorize, **options})
    assert field == refused.value.field


async def test_no_token_is_logged(
    serve: Serve, client: AsyncClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither on success nor when a response that holds one cannot be read."""
    caplog.set_level(logging.DEBUG)
    async with serve(client, grant_all) as ask:
        token = str(json.loads((await ask()).body)["jwt"])
        await client.tokens.invalidate()
        sandbox.inject(Fault(applied=True, status=200, body=json.dumps({"token": [token]})), rate=1.0)
        assert 502 == (await ask()).status
    assert caplog.text
    assert token.split(".")[2] not in caplog.text


async def test_a_server_of_its_own_closes_the_client(sandbox: Sandbox) -> None:
    """An ASGI server says when it starts and stops; the client is closed with it."""
    client = AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url)
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[object] = []

    async def receive() -> Mapping[str, object]:
        return received.pop(0)

    async def send(message: dict[str, object]) -> None:
        sent.append(message["type"])

    async def authorize(_: MutableMapping[str, object]) -> Grant:
        return Grant(sub="alice")

    app = asgi_app(client, authorize)
    await app({"type": "lifespan"}, receive, send)
    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == sent
    with pytest.raises(ClientStateError):
        await client.tokens.create(sub="alice")
    with pytest.raises(ValueError, match="cannot serve websocket"):
        await app({"type": "websocket"}, receive, send)

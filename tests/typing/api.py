"""What type checkers see of the public face; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, assert_type

from plivo_endpoints import (
    Acknowledgement,
    APIError,
    AsyncClient,
    AsyncEndpoints,
    AsyncTokens,
    AttemptFinished,
    CallFinished,
    Client,
    CreatedEndpoint,
    Endpoint,
    Endpoints,
    Event,
    InvalidArgumentError,
    NotRegisteredError,
    OutcomeUnknownError,
    Page,
    PageMeta,
    RateLimit,
    RateLimitedError,
    RequestTimeoutError,
    Token,
    TokenClaims,
    Tokens,
    TransportError,
)
from plivo_endpoints.provisioning import AsyncFleet, CsvSource, Fleet, Outcome, Plan, Step
from plivo_endpoints.sandbox import Sandbox, SandboxEndpoint


async def of_the_async_client(client: AsyncClient) -> None:
    """Every operation gives its model."""
    made = await client.endpoints.create(username="alice", password="s3cret", alias="a", app_id=None)
    assert_type(made, CreatedEndpoint)
    assert_type(await client.endpoints.get(made.endpoint_id), Endpoint)
    assert_type(await client.endpoints.list_page(limit=5, offset=10), Page[Endpoint])
    assert_type(await client.endpoints.update(made.endpoint_id, alias="b"), Acknowledgement)
    found = await client.endpoints.find_created(
        username="alice", alias="a", sent_at=datetime.now(UTC), settle=5
    )
    assert_type(found, tuple[Endpoint, ...])
    async for endpoint in client.endpoints.list(page_size=5, offset=0, prefetch=2):
        assert_type(endpoint, Endpoint)
    assert_type(client.endpoints.list().pages(), AsyncGenerator[Page[Endpoint]])
    async for endpoint in client.endpoints.list(
        alias="a", username_prefix="alice", app_id="1", registered=False
    ):
        assert_type(endpoint, Endpoint)
    assert_type(await client.endpoints.wait_registered(made.endpoint_id, timeout=30), Endpoint)
    await client.endpoints.delete(made.endpoint_id)
    token = await client.tokens.create(sub="alice", nbf=0, exp=datetime.now(UTC), incoming_allow=True)
    assert_type(token, Token)
    assert_type(client.with_options(timeout=1.0, max_attempts=1), AsyncClient)
    async with client as entered:
        assert_type(entered, AsyncClient)
    assert_type(client.endpoints, AsyncEndpoints)
    assert_type(await client.tokens.cached(sub="alice", refresh_before=timedelta(minutes=5)), Token)
    assert_type(client.tokens, AsyncTokens)


def of_the_blocking_client(client: Client) -> None:
    """The same, without await."""
    made = client.endpoints.create(username="alice", password="s3cret", alias="a", app_id=None)
    assert_type(made, CreatedEndpoint)
    assert_type(client.endpoints.get(made.endpoint_id), Endpoint)
    assert_type(client.endpoints.list_page(limit=5, offset=10), Page[Endpoint])
    assert_type(client.endpoints.update(made.endpoint_id, alias="b"), Acknowledgement)
    found = client.endpoints.find_created(username="alice", alias="a", sent_at=datetime.now(UTC), settle=5)
    assert_type(found, tuple[Endpoint, ...])
    for endpoint in client.endpoints.list(page_size=5, offset=0, prefetch=2):
        assert_type(endpoint, Endpoint)
    assert_type(iter(client.endpoints.list()), Generator[Endpoint, None, None])
    assert_type(client.endpoints.list().pages(), Generator[Page[Endpoint], None, None])
    for endpoint in client.endpoints.list(alias="a", username_prefix="alice", app_id="1", registered=None):
        assert_type(endpoint, Endpoint)
    assert_type(client.endpoints.wait_registered(made.endpoint_id, timeout=0.5), Endpoint)
    client.endpoints.delete(made.endpoint_id)
    assert_type(client.tokens.create(lifetime=timedelta(hours=1), outgoing_allow=True), Token)
    assert_type(client.with_options(timeout=1.0), Client)
    with client as entered:
        assert_type(entered, Client)
    assert_type(client.endpoints, Endpoints)
    assert_type(client.tokens.cached(sub="alice"), Token)
    assert_type(client.tokens, Tokens)


def of_models(endpoint: Endpoint, page: Page[Endpoint], token: Token, claims: TokenClaims) -> None:
    """Only ids are certain."""
    assert_type(endpoint.endpoint_id, str)
    assert_type(endpoint.username, str | None)
    assert_type(endpoint.sip_registered, bool | None)
    assert_type(endpoint.sip_expires, datetime | None)
    assert_type(endpoint.application_id, str | None)
    assert_type(endpoint.extra, Mapping[str, object])
    assert_type(page.objects, tuple[Endpoint, ...])
    assert_type(page.meta, PageMeta)
    assert_type(page.meta.total_count, int | None)
    assert_type(token.jwt, str)
    assert_type(token.claims, TokenClaims | None)
    assert_type(token.expires_at, datetime)
    assert_type(claims.incoming_allow, bool | None)


def of_errors(  # noqa: PLR0917 - one of each
    refused: APIError,
    invalid: InvalidArgumentError,
    lost: OutcomeUnknownError,
    throttled: RateLimitedError,
    transport: TransportError,
    timed_out: RequestTimeoutError,
    unregistered: NotRegisteredError,
) -> None:
    """What an error knows can be relied on."""
    assert_type(refused.status, int)
    assert_type(refused.api_id, str | None)
    assert_type(refused.attempts, int)
    assert_type(invalid.field, str)
    assert_type(lost.username, str)
    assert_type(lost.sent_at, datetime)
    assert_type(lost.endpoint_id, str | None)
    assert_type(throttled.retry_after, float | None)
    assert_type(transport.sent, Literal["no", "unknown"])
    assert_type(timed_out.phase, Literal["rate limit", "connect", "response"])
    assert_type(unregistered.timeout, float)


def of_settings() -> None:
    """Everything has a default; a hook gets one of four events."""

    def hook(event: Event) -> None:
        assert_type(event.operation, str)
        if isinstance(event, CallFinished | AttemptFinished):
            assert_type(event.seconds, float)
            assert_type(event.waited, float)

    assert_type(AsyncClient(rate_limit=None, on_event=hook, max_body=10, proxy="environment"), AsyncClient)
    assert_type(Client("MA", "token", base_url=None, rate_limit=RateLimit(100, 5.0)), Client)


async def of_mistakes(client: AsyncClient, blocking: Client) -> None:
    """What must not pass: mypy reports an ignore that it does not need."""
    await client.endpoints.create("alice", password="s3cret", alias="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    blocking.endpoints.create(username=1, password="s3cret", alias="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    blocking.endpoints.list(limit=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def of_a_run(client: AsyncClient) -> None:
    """Leaving its iteration early can be done in order: it is a generator, which can be closed."""
    fleet = AsyncFleet(client, "fleet.db")
    planned = await fleet.plan(CsvSource("users.csv"))
    assert_type(planned, Plan)
    assert_type(planned.steps[0], Step)
    async with fleet.apply([{"username": "alice", "alias": "a"}], plan=planned) as run:
        assert_type(aiter(run), AsyncGenerator[Outcome])
        async for outcome in run:
            assert_type(outcome, Outcome)


def of_a_blocking_run(client: Client) -> None:
    """The same, without a loop."""
    fleet = Fleet(client)
    assert_type(fleet.plan("users.csv"), Plan)
    with fleet.apply("users.csv", delete=True) as run:
        for outcome in run:
            assert_type(outcome, Outcome)
    assert_type(fleet.outcomes(), Generator[Outcome])


async def of_the_sandbox(anything: Any) -> None:
    """It serves in a loop and in a thread."""
    async with Sandbox(endpoints=3) as sandbox:
        assert_type(sandbox.base_url, str)
    with Sandbox(auth_id=anything) as sandbox:
        assert_type(sandbox.endpoints["1"], SandboxEndpoint)

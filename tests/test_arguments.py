"""Bad input: refused before anything is sent, naming field and rule and never the value."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from plivo_endpoints import AsyncClient, Client, InvalidArgumentError, RateLimit

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox

GOOD = {"username": "alice", "password": "s3cret-enough", "alias": "desk"}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - being naive is the point
BAD_IDS = ["", "..", ".", "a/b", "x?y", "x#y", "1\n", "ünïcode", "a" * 65, "%2e%2e"]

Call = Callable[[AsyncClient], Coroutine[Any, Any, object]]


def create(**changes: object) -> Call:
    """Return a create with some arguments other than good ones."""
    arguments: dict[str, Any] = {**GOOD, **changes}
    return lambda client: client.endpoints.create(**arguments)


def token(**arguments: Any) -> Call:
    """Return a token request."""
    return lambda client: client.tokens.create(**arguments)


async def walk(client: AsyncClient, **arguments: Any) -> None:
    """Walk over the list."""
    async for _ in client.endpoints.list(**arguments):
        pass


REFUSED: list[tuple[str, Call]] = [
    ("username", create(username="")),
    ("username", create(username="a" * 26)),
    ("username", create(username="1alice")),
    ("username", create(username="al-ice")),
    ("username", create(username="alicé")),
    ("username", create(username="alice\n")),
    ("username", create(username=7)),
    ("password", create(password="four")),
    ("password", create(password=None)),
    ("password", create(password="half\udce4pair")),
    ("alias", create(alias="")),
    ("alias", create(alias=None)),
    ("alias", create(alias="\udcff")),
    ("app_id", create(app_id="../1")),
    ("update", lambda client: client.endpoints.update("1")),
    ("password", lambda client: client.endpoints.update("1", password="four")),
    ("alias", lambda client: client.endpoints.update("1", alias="")),
    ("app_id", lambda client: client.endpoints.update("1", app_id="")),
    ("nbf", token(nbf=NAIVE)),
    ("nbf", token(nbf=1.5)),
    ("nbf", token(nbf=True)),
    ("exp", token(exp=-1)),
    ("exp", token(exp=10**30)),
    ("exp", token(nbf=NOON, exp=NOON - timedelta(hours=1))),
    ("exp", token(nbf=NOON, exp=NOON)),
    ("exp", token(nbf=NOON, exp=NOON + timedelta(seconds=179))),
    ("exp", token(nbf=NOON, exp=NOON + timedelta(seconds=86_401))),
    ("lifetime", token(lifetime=timedelta(seconds=179))),
    ("lifetime", token(lifetime=timedelta(seconds=86_401))),
    ("lifetime", token(lifetime=3600)),
    ("lifetime", token(exp=NOON, lifetime=timedelta(hours=1))),
    ("sub", token(incoming_allow=True)),
    ("sub", token(sub="")),
    ("incoming_allow", token(sub="alice", incoming_allow="false")),
    ("outgoing_allow", token(sub="alice", outgoing_allow=1)),
    ("app", token(app="a/b")),
    ("limit", lambda client: client.endpoints.list_page(limit=21)),
    ("limit", lambda client: client.endpoints.list_page(limit=0)),
    ("limit", lambda client: client.endpoints.list_page(limit=True)),
    ("offset", lambda client: client.endpoints.list_page(offset=-1)),
    ("page_size", lambda client: walk(client, page_size=21)),
    ("offset", lambda client: walk(client, offset=-1)),
    ("prefetch", lambda client: walk(client, prefetch=-1)),
    ("username", lambda client: client.endpoints.find_created(username="", alias="a", sent_at=NOON)),
    ("alias", lambda client: client.endpoints.find_created(username="a", alias="", sent_at=NOON)),
    ("sent_at", lambda client: client.endpoints.find_created(username="a", alias="a", sent_at=NAIVE)),
    (
        "sent_at",
        lambda client: client.endpoints.find_created(
            username="a", alias="a", sent_at=cast("datetime", "2026")
        ),
    ),
    (
        "settle",
        lambda client: client.endpoints.find_created(username="a", alias="a", sent_at=NOON, settle=-1),
    ),
]


@pytest.mark.parametrize(("field", "call"), REFUSED)
async def test_bad_arguments_are_refused_unsent(
    field: str, call: Call, client: AsyncClient, sandbox: Sandbox
) -> None:
    """Each rule names its field, and no request leaves."""
    with pytest.raises(InvalidArgumentError) as refused:
        await call(client)
    assert (field, 0) == (refused.value.field, len(sandbox.requests))


@pytest.mark.parametrize("endpoint_id", [*BAD_IDS, None, 5])
async def test_bad_ids_are_refused_unsent(endpoint_id: Any, client: AsyncClient, sandbox: Sandbox) -> None:
    """No id can lead a request out of its path."""
    for call in (client.endpoints.get, client.endpoints.delete):
        with pytest.raises(InvalidArgumentError):
            await call(endpoint_id)
    with pytest.raises(InvalidArgumentError):
        await client.endpoints.update(endpoint_id, alias="desk")
    assert len(sandbox.requests) == 0


async def test_a_refused_password_is_not_shown(client: AsyncClient) -> None:
    """The error names the rule, not the secret."""
    with pytest.raises(InvalidArgumentError) as refused:
        await client.endpoints.create(username="alice", password="hush", alias="desk")
    assert "hush" not in str(refused.value)


AUTH_ID = "MA0123456789ABCDEFGH"
BAD_SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("timeout", {"timeout": 0}),
    ("timeout", {"timeout": float("nan")}),
    ("timeout", {"timeout": float("inf")}),
    ("timeout", {"timeout": "30"}),
    ("max_attempts", {"max_attempts": 0}),
    ("max_attempts", {"max_attempts": 1.5}),
    ("max_connections", {"max_connections": 0}),
    ("max_body", {"max_body": 0}),
    ("proxy", {"proxy": "socks5://127.0.0.1:1"}),
    ("auth_id", {"auth_id": "MA1"}),
    ("auth_id", {"auth_id": "XA0123456789ABCDEFGH"}),
    ("auth_id", {"auth_id": None}),
    ("auth_token", {"auth_token": None}),
    ("auth_token", {"auth_token": ""}),
    ("auth_token", {"auth_token": "two\nlines"}),
    ("base_url", {"base_url": "http://api.plivo.com"}),
    ("base_url", {"base_url": "ftp://127.0.0.1"}),
    ("base_url", {"base_url": "https://user:pw@example.org"}),
    ("base_url", {"base_url": "https://example.org/?a=1"}),
    ("base_url", {"base_url": "https://example.org/?"}),
    ("base_url", {"base_url": "https://example.org#"}),
    ("base_url", {"base_url": "https://example.org/v1"}),
    ("base_url", {"base_url": "https://example.org/v1/"}),
    ("base_url", {"base_url": "https://example.org/../x"}),
    ("base_url", {"base_url": "https://example.org:port"}),
    ("base_url", {"base_url": "https://exa mple.org"}),
    ("base_url", {"base_url": "example.org"}),
    ("base_url", {"base_url": "http://127.0.0.1.example.org"}),
]


@pytest.mark.parametrize(("field", "changes"), BAD_SETTINGS)
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_bad_settings_are_refused(
    field: str,
    changes: dict[str, Any],
    kind: type[AsyncClient | Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client with a setting that cannot work is not made."""
    monkeypatch.delenv("PLIVO_AUTH_ID", raising=False)
    monkeypatch.delenv("PLIVO_AUTH_TOKEN", raising=False)
    arguments: dict[str, Any] = {"auth_id": AUTH_ID, "auth_token": "token", **changes}
    with pytest.raises(InvalidArgumentError) as refused:
        kind(**arguments)
    assert field == refused.value.field


@pytest.mark.parametrize(
    ("field", "changes"), [("rate_limit.requests", (0, 5.0)), ("rate_limit.seconds", (1, 0.0))]
)
def test_bad_rate_limits_are_refused(field: str, changes: tuple[int, float]) -> None:
    """A limit lets something through, in some time."""
    with pytest.raises(InvalidArgumentError) as refused:
        RateLimit(*changes)
    assert field == refused.value.field


@pytest.mark.parametrize(
    "base_url",
    [
        "https://example.org",
        "https://example.org/plivo/",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:8080",
        "http://localhost:1",
    ],
)
def test_good_base_urls_are_taken(base_url: str) -> None:
    """Https anywhere and http on loopback, with or without a prefix and a trailing slash."""
    made = AsyncClient(AUTH_ID, "token", base_url=base_url)
    assert f"<AsyncClient {base_url.rstrip('/')}/v1/Account/{AUTH_ID}/>" == repr(made)


def test_credentials_come_as_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """One half from the arguments is not completed from the environment."""
    monkeypatch.setenv("PLIVO_AUTH_ID", AUTH_ID)
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "token")
    monkeypatch.setenv("PLIVO_BASE_URL", "http://127.0.0.1:9")
    assert f"<Client http://127.0.0.1:9/v1/Account/{AUTH_ID}/>" == repr(Client())
    with pytest.raises(InvalidArgumentError, match=r"auth_token: is missing"):
        AsyncClient(AUTH_ID)
    with pytest.raises(InvalidArgumentError, match=r"auth_id: is missing"):
        AsyncClient(auth_token="token")


def test_half_a_pair_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment must hold both too."""
    monkeypatch.setenv("PLIVO_AUTH_ID", AUTH_ID)
    monkeypatch.delenv("PLIVO_AUTH_TOKEN", raising=False)
    with pytest.raises(InvalidArgumentError, match=r"auth_token: is missing"):
        AsyncClient()


def test_proxies_come_from_the_environment_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read once, when the client is made."""
    from plivo_endpoints._config import resolve_proxy  # noqa: PLC0415

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "spared.example")
    assert resolve_proxy(None, "https://api.plivo.com") is None
    assert resolve_proxy("environment", "https://api.plivo.com") == "http://proxy.example:3128"
    assert resolve_proxy("environment", "https://spared.example") is None
    assert resolve_proxy("environment", "https://localhost:8443") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert resolve_proxy("environment", "https://api.plivo.com") == "http://proxy.example:3128"

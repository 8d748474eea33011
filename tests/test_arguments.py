"""Bad input: refused before anything is sent, naming field and rule and never the value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest

from plivo_endpoints import AsyncClient, Client, InvalidArgumentError, RateLimit
from plivo_endpoints._config import conceal, resolve_proxy

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
    ("nbf", token(nbf=1_577_880_000)),
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
    ("alias", lambda client: walk(client, alias="")),
    ("username_prefix", lambda client: walk(client, username_prefix="")),
    ("username_prefix", lambda client: walk(client, username_prefix=5)),
    ("app_id", lambda client: walk(client, app_id="a/b")),
    ("registered", lambda client: walk(client, registered="false")),
    ("timeout", lambda client: client.endpoints.wait_registered("1", timeout=-1)),
    ("timeout", lambda client: client.endpoints.wait_registered("1", timeout=float("inf"))),
    ("endpoint_id", lambda client: client.endpoints.wait_registered("a/b", timeout=1)),
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


PROXY = "http://proxy.example:3128"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.mark.parametrize(
    ("environment", "base_url", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY}, "https://api.plivo.com", PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://api.plivo.com", PROXY),
        ({"ALL_PROXY": PROXY}, "https://api.plivo.com", PROXY),
        ({"ALL_PROXY": "http://other.example:1", "HTTPS_PROXY": PROXY}, "https://api.plivo.com", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "spared.example"}, "https://spared.example", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "x.example, 10.0.0.0/8"}, "https://10.1.2.3:8443", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, "https://[fd00::1]", None),
        ({"HTTPS_PROXY": PROXY}, "https://localhost:8443", None),
    ],
)
def test_proxies_come_from_the_environment_only_when_asked(
    environment: dict[str, str], base_url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `requests` reads it, with `ALL_PROXY` and blocks of addresses in `NO_PROXY`; never for loopback."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = resolve_proxy(conceal("environment"), base_url)
    assert proxy == (found and found.reveal())
    assert resolve_proxy(None, base_url) is None


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_plain_http_elsewhere_is_an_explicit_choice(
    kind: type[AsyncClient | Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By argument or environment; the rule names both, and a wrong scheme stays refused."""
    url = "http://sandbox:8080"
    made: list[AsyncClient | Client] = [kind(AUTH_ID, "token", base_url=url, allow_http=True)]
    with pytest.raises(InvalidArgumentError, match=r"allow_http=True or set PLIVO_ALLOW_HTTP=1"):
        kind(AUTH_ID, "token", base_url=url)
    monkeypatch.setenv("PLIVO_ALLOW_HTTP", "1")
    made.append(kind(AUTH_ID, "token", base_url=url))
    assert [f"<{kind.__name__} {url}/v1/Account/{AUTH_ID}/>"] * 2 == [repr(each) for each in made]
    with pytest.raises(InvalidArgumentError, match=r"base_url: must be a URL"):
        kind(AUTH_ID, "token", base_url="ftp://sandbox:8080")


@pytest.mark.parametrize(
    ("proxy", "rule"),
    [
        ("http://", "must be a URL"),
        ("http://?", "must be a URL"),
        ("http://u:pw#x@h:9", "must be a URL"),
        ("http://h:99999", "must be a URL"),
        ("http://[::1", "must be a URL"),
        ("http://u:p\udcff@h", "must be a URL"),
        ("http://a%3Ab:pw@h", "must be a URL"),
        ("http://u:\N{SNOWMAN}@h", "must be a URL"),
        ("http://h/path", "must be a URL"),
        ("socks5://h:1080", "must be an http or https URL"),
        (True, r"must be text \(str\)"),
    ],
)
def test_a_proxy_that_cannot_be_is_refused(proxy: Any, rule: str) -> None:
    """When the client is made; one without a host would have been left out."""
    with pytest.raises(InvalidArgumentError, match=f"proxy: {rule}"):
        AsyncClient(AUTH_ID, "token", proxy=proxy)


async def test_a_session_that_logs_in_is_refused() -> None:
    """Its header would stand against ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp's, of `BasicAuth`
        auth = aiohttp.BasicAuth("a", "b")
        session = aiohttp.ClientSession(auth=auth)
    async with session:
        with pytest.raises(InvalidArgumentError, match=r"session: must not add credentials"):
            AsyncClient(AUTH_ID, "token", session=session)


def test_verification_is_not_turned_off_by_false() -> None:
    """As aiohttp and requests would."""
    off: dict[str, Any] = {"ssl_context": False}
    for kind in (AsyncClient, Client):
        with pytest.raises(InvalidArgumentError, match=r"ssl_context: must be an ssl\.SSLContext"):
            kind(AUTH_ID, "token", **off)


@pytest.mark.parametrize(
    ("alias", "rule"),
    [
        (b"\xff", "alias: must be text (str)"),
        ("\udcff", "alias: cannot be encoded as UTF-8: it contains lone surrogates"),
        ("", "alias: must be a non-empty string"),
    ],
)
async def test_the_rule_says_what_is_wrong_with_a_text(alias: Any, rule: str, client: AsyncClient) -> None:
    """Bytes, what cannot be encoded, and nothing at all are three things."""
    with pytest.raises(InvalidArgumentError) as refused:
        await client.endpoints.create(username="alice", password="s3cret", alias=alias)
    assert rule == str(refused.value)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
BAD_TIMES: list[tuple[str, dict[str, Any]]] = [
    ("nbf", {"nbf": EPOCH - timedelta(seconds=1)}),
    ("nbf", {"nbf": -1}),
    ("nbf", {"nbf": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5)))}),
    ("nbf", {"nbf": int(LAST.timestamp()) + 1}),
    ("exp", {"nbf": NOON, "exp": NOON + timedelta(hours=1)}),
    ("exp", {"nbf": int(NOON.timestamp()), "exp": int(NOON.timestamp()) + 3600}),
    ("lifetime", {"nbf": NOON, "lifetime": timedelta(hours=1)}),
    ("lifetime", {"nbf": LAST, "lifetime": timedelta(hours=1)}),
    ("lifetime", {"nbf": int(LAST.timestamp()), "lifetime": timedelta(hours=1)}),
]


@pytest.mark.parametrize(("field", "times"), BAD_TIMES)
async def test_times_have_one_check(
    field: str, times: dict[str, Any], client: AsyncClient, sandbox: Sandbox
) -> None:
    """A time is between 1970 and 9999 and a token ends in the future, in whichever form they come."""
    with pytest.raises(InvalidArgumentError) as refused:
        await client.tokens.create(**times)
    assert (field, 0) == (refused.value.field, len(sandbox.requests))


async def test_an_async_hook() -> None:
    """It would never run, so it is refused like what cannot be called."""

    async def hook(_: object) -> None:
        """Nobody awaits this."""

    with pytest.raises(InvalidArgumentError, match="on_event: must be a plain function"):
        AsyncClient(AUTH_ID, "token", on_event=hook)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

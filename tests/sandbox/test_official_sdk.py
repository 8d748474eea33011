"""A client that nobody here wrote: Plivo's own SDK for Python."""

from collections.abc import Iterator
from typing import Any

import jwt
import plivo  # pyright: ignore[reportMissingTypeStubs]
import plivo.rest.client  # pyright: ignore[reportMissingTypeStubs]
import pytest
from requests.adapters import HTTPAdapter

from plivo_endpoints.sandbox import Fault, Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve from a thread, as the SDK blocks."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Point the SDK's base addresses, which are module constants, at the sandbox."""
    base = f"{sandbox.base_url}/v1/Account"
    for name in ("PLIVO_API_BASE_URI", "API_VOICE_BASE_URI"):
        monkeypatch.setattr(plivo.rest.client, name, base)
    for name in ("API_VOICE_BASE_URI_FALLBACK_1", "API_VOICE_BASE_URI_FALLBACK_2"):
        monkeypatch.setattr(plivo.rest.client, name, base)
    with plivo.RestClient(sandbox.auth_id, sandbox.auth_token) as rest_client:
        yield rest_client


def test_every_operation(sandbox: Sandbox, client: Any) -> None:
    """Create, get, update and delete do what the SDK expects of Plivo."""
    made = client.endpoints.create(username="alice", password="s3cret", alias="Test Account")
    assert (made.message, made.alias) == ("created", "Test Account")
    read = client.endpoints.get(made.endpoint_id)
    assert (made.username, "false") == (read.username, read.sip_registered)
    changed = client.endpoints.update(made.endpoint_id, alias="Double time.")
    assert (changed.message, sandbox.endpoints[made.endpoint_id].alias) == ("changed", "Double time.")
    client.endpoints.delete(made.endpoint_id)
    with pytest.raises(plivo.exceptions.ResourceNotFoundError, match="not found"):
        client.endpoints.get(made.endpoint_id)
    assert 0 == len(sandbox.endpoints)


def test_two_pages(sandbox: Sandbox, client: Any) -> None:
    """A list of 25 comes on two pages."""
    sandbox.seed(25)
    first, second = client.endpoints.list(limit=20), client.endpoints.list(limit=20, offset=20)
    assert (20, 5) == (len(first.objects), len(second.objects))
    assert list(sandbox.endpoints)[::-1] == [item.endpoint_id for item in (*first.objects, *second.objects)]
    assert (second.meta.total_count, second.meta.next) == (25, None)


def test_a_token(sandbox: Sandbox, client: Any) -> None:
    """A minted token is read back by PyJWT."""
    minted = client.token.create(iss=sandbox.auth_id, sub="alice", incoming_allow=True)
    # PyJWT names types of `cryptography`, which it works without.
    claims = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
        minted.token, sandbox.auth_token, algorithms=["HS256"]
    )
    voice = {"incoming_allow": True, "outgoing_allow": False}
    assert ("alice", {"voice": voice}) == (claims["sub"], claims["per"])


def test_refusals_are_understood(client: Any) -> None:
    """A bad create is a ValidationError with the messages by field."""
    with pytest.raises(plivo.exceptions.ValidationError, match="username"):
        client.endpoints.create(username="1", password="s3cret", alias="a")


def test_wrong_credentials_are_understood(sandbox: Sandbox, client: Any) -> None:
    """A 401 is an AuthenticationError."""
    client.session.auth = (sandbox.auth_id, "wrong")
    with pytest.raises(plivo.exceptions.AuthenticationError, match="auth_token"):
        client.endpoints.get("1")


def test_a_create_whose_answer_is_lost(
    sandbox: Sandbox, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SDK sends it three times, so one create makes three endpoints and is reported as failed."""
    sandbox.inject(Fault(applied=True, status=502), method="POST", times=3)
    with pytest.raises(plivo.exceptions.PlivoRestError, match="502"):
        client.endpoints.create(username="alice", password="s3cret", alias="desk")
    assert {"alice": 3} == sandbox.applied_creates
    assert 3 == capsys.readouterr().out.count("Fallback for URL")


@pytest.mark.parametrize("status", [401, 403, 404, 405, 409, 422])
def test_a_list_that_fails(sandbox: Sandbox, client: Any, status: int) -> None:
    """The SDK raises an error of its own code instead, as docs/guides/moving-from-the-sdk.md says."""
    sandbox.inject(Fault(applied=False, status=status), rate=1)
    with pytest.raises(AttributeError, match="objects"):
        client.endpoints.list()


def test_a_list_that_is_retried(sandbox: Sandbox, client: Any) -> None:
    """The SDK returns another type, which has no length."""
    sandbox.inject(Fault(applied=False, status=503))
    page = client.endpoints.list()
    with pytest.raises(TypeError, match=r"no len\(\)"):
        len(page)


class Recorder(HTTPAdapter):
    """Keeps how each request was to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: list[object] = []

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the proxies and the certificates, and send the request."""
        self.settings.append((kwargs["proxies"], kwargs["verify"]))
        return super().send(*args, **kwargs)


def test_the_environment_of_requests(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK ignores proxies and certificates that it names."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    recorder = Recorder()
    client.session.mount("http://", recorder)
    client.endpoints.list()
    assert [(None, True)] == recorder.settings

"""Other web sites, which the browser of whoever runs a sandbox may show, get nothing out of it."""

import socket
from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox

PATHS = ["/", "/_page/events", "/_sandbox/requests", "/v1/Account/{id}/Endpoint/", "/v1/"]


async def statuses(sandbox: Sandbox, headers: dict[str, str]) -> set[int]:
    """GET each path with the account's credentials and return how it was answered."""
    headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)} | headers
    found: set[int] = set()
    async with aiohttp.ClientSession(sandbox.base_url, headers=headers) as session:
        for path in PATHS:
            async with session.get(path.format(id=sandbox.auth_id)) as response:
                found.add(response.status)
    return found


@pytest.mark.parametrize(
    "host",
    [
        *("sandbox.example", "localhost.example:80", "localhost.", "evil.example:8080"),
        *("127.0.0.1.evil.example", "localhost:abc", "[", "[::1", "\xff", ""),
    ],
)
async def test_a_rebound_name_sees_nothing(host: str) -> None:
    """A Host that a web site can have is refused on every path, wherever the sandbox serves."""
    for served in ("127.0.0.1", "0.0.0.0", ""):  # noqa: S104 - for a moment
        async with Sandbox(control=True, host=served) as sandbox:
            assert {403} == await statuses(sandbox, {"Host": host})
            assert () == sandbox.requests


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:1", "[::1]:8080", "192.0.2.1:8080"),
        *("sandbox:8080", "my_sandbox", "host.docker.internal:8080", "plivo.test"),
        "sandbox.default.svc.cluster.local",
    ],
)
async def test_private_names_are_fine(host: str) -> None:
    """Addresses, names of containers, and names that no web site can have."""
    async with Sandbox(control=True) as sandbox:
        assert {200, 404} == await statuses(sandbox, {"Host": host})


async def test_the_name_it_serves_at_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives a name to serve at means it, also one that a web site can have."""
    resolve = socket.getaddrinfo

    def resolve_to_loopback(_host: str, *rest: Any, **how: Any) -> Any:
        return resolve("127.0.0.1", *rest, **how)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_to_loopback)
    async with Sandbox(control=True, host="Sandbox.example") as sandbox:
        monkeypatch.undo()
        assert {200, 404} == await statuses(sandbox, {"Host": "sandbox.example:8080"})
        assert {403} == await statuses(sandbox, {"Host": "evil.example:8080"})


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:3000", "null", "", "file://", "http://127.0.0.1", "x" * 5000],
)
async def test_a_foreign_page_changes_nothing(origin: str) -> None:
    """Even signed in to, which a browser does by itself, no path answers another page."""
    async with Sandbox(control=True) as sandbox:
        sandbox.seed(1)
        (endpoint_id,) = sandbox.endpoints
        assert {403} == await statuses(sandbox, {"Origin": origin})
        headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
        headers |= {"Origin": origin, "X-Sandbox-Page": "1", "Content-Type": "text/plain"}
        fields = b'{"username": "mallory", "password": "s3cret", "alias": "a"}'
        async with aiohttp.ClientSession(sandbox.base_url, headers=headers) as session:
            for path, body in (
                ("/_sandbox/faults", b'{"fault": {"applied": false, "status": 500}}'),
                (f"/_page/endpoints/{endpoint_id}/register", b""),
                (f"/v1/Account/{sandbox.auth_id}/Endpoint/", fields),
            ):
                async with session.post(path, data=body) as response:
                    assert (403, {"api_id", "error"}) == (response.status, set(await response.json()))
        assert (1, False) == (len(sandbox.endpoints), sandbox.endpoints[endpoint_id].sip_registered)
        assert {200, 404} == await statuses(sandbox, {})


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_its_own_page_is_no_foreign_page(scheme: str) -> None:
    """Its origin is the Host that it was asked at, also where something before it speaks TLS."""
    async with Sandbox(control=True) as sandbox:
        host = sandbox.base_url.removeprefix("http://")
        assert {200, 404} == await statuses(sandbox, {"Origin": f"{scheme}://{host}"})

"""What the sandbox and the real service have in common, asked of both: see docs/explanation/conformance.md.

The real one is asked only with PLIVO_CONFORMANCE=1 and PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN set; every case
there makes endpoints of its own and removes them, and touches no other.
"""

import os
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from attrs import define, field

from plivo_endpoints.sandbox import Sandbox

KINDS = ["sandbox", "real"] if os.environ.get("PLIVO_CONFORMANCE") == "1" else ["sandbox"]
PASSWORD = "conformance-5ecret"


@define
class Service:
    """An account somewhere, and the endpoints that a case has made in it."""

    session: aiohttp.ClientSession
    auth_id: str
    made: list[str] = field(factory=list[str])

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer, `None` if there is no body."""
        async with self.session.request(method, path, json=body, allow_redirects=False) as response:
            answer: Any = await response.json() if await response.read() else None
        # Also what should have been refused is removed.
        if (method, path) == ("POST", "Endpoint/") and "endpoint_id" in answer:
            self.made.append(answer["endpoint_id"])
        return response.status, answer

    async def create(self, alias: str = "conformance") -> Any:
        """Make an endpoint that is removed after the case."""
        fields = {"username": "conformance", "password": PASSWORD, "alias": alias}
        status, answer = await self.ask("POST", "Endpoint/", fields)
        assert 201 == status
        return answer


def account_of(kind: str, sandbox: Sandbox) -> tuple[str, str, str]:
    """Return base URL, auth_id and auth_token."""
    if kind == "sandbox":
        return sandbox.base_url, sandbox.auth_id, sandbox.auth_token
    base_url = os.environ.get("PLIVO_BASE_URL", "https://api.plivo.com")
    return base_url, os.environ["PLIVO_AUTH_ID"], os.environ["PLIVO_AUTH_TOKEN"]


@pytest.fixture(params=KINDS)
async def service(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[Service]:
    """Sign in, and clean up afterwards."""
    base_url, auth_id, auth_token = account_of(request.param, sandbox)
    headers = {"Authorization": aiohttp.encode_basic_auth(auth_id, auth_token)}
    async with aiohttp.ClientSession(f"{base_url}/v1/Account/{auth_id}/", headers=headers) as session:
        service = Service(session, auth_id)
        yield service
        for endpoint_id in service.made:
            await service.ask("DELETE", f"Endpoint/{endpoint_id}/")


async def test_c01_a_create_adds_digits(service: Service) -> None:
    """C01: the answer names the endpoint, with digits after the username."""
    answer = await service.create(alias="Test Account")
    assert re.fullmatch(r"conformance\d+", answer["username"])
    assert (answer["alias"], answer["message"]) == ("Test Account", "created")
    assert re.fullmatch(r"\d+", answer["endpoint_id"])
    assert "api_id" in answer


async def test_c02_the_same_create_makes_another(service: Service) -> None:
    """C02: a create repeated is a second endpoint under a second name."""
    first, second = await service.create(), await service.create()
    assert first["endpoint_id"] != second["endpoint_id"]
    assert first["username"] != second["username"]


async def test_c03_an_endpoint_can_be_read(service: Service) -> None:
    """C03: what was made is there, with `sip_registered` a string and no password in clear."""
    made = await service.create()
    status, endpoint = await service.ask("GET", f"Endpoint/{made['endpoint_id']}/")
    assert (status, endpoint["endpoint_id"], endpoint["username"], endpoint["alias"]) == (
        200,
        made["endpoint_id"],
        made["username"],
        "conformance",
    )
    assert (endpoint["sip_registered"], endpoint["sip_uri"][:4]) == ("false", "sip:")
    assert PASSWORD not in str(endpoint)


async def test_c04_an_update_changes_the_alias(service: Service) -> None:
    """C04: an update says "changed" and leaves the username."""
    made = await service.create()
    path = f"Endpoint/{made['endpoint_id']}/"
    status, answer = await service.ask("POST", path, {"alias": "lobby"})
    assert (status, answer["message"]) == (202, "changed")
    _, endpoint = await service.ask("GET", path)
    assert (endpoint["alias"], endpoint["username"]) == ("lobby", made["username"])


async def test_c05_a_deleted_endpoint_is_not_found(service: Service) -> None:
    """C05: a delete answers 204; what is deleted cannot be read or deleted."""
    path = f"Endpoint/{(await service.create())['endpoint_id']}/"
    assert (204, None) == await service.ask("DELETE", path)
    for method in ("GET", "DELETE"):
        status, answer = await service.ask(method, path)
        assert (status, answer["error"]) == (404, "not found")


async def test_c06_a_list_has_pages(service: Service) -> None:
    """C06: `limit` bounds a page, `meta` counts and links, and a new endpoint is in the list."""
    made = {(await service.create())["endpoint_id"] for _ in range(3)}
    seen: list[str] = []
    following: str | None = "Endpoint/?limit=2"
    while following is not None:
        status, page = await service.ask("GET", following)
        assert (status, page["meta"]["limit"]) == (200, 2)
        assert len(page["objects"]) <= 2
        assert page["meta"]["total_count"] >= 3
        seen += [endpoint["endpoint_id"] for endpoint in page["objects"]]
        following = page["meta"]["next"]
    assert made <= set(seen)


@pytest.mark.parametrize("username", ["1alice", "al-ice", "a" * 26, ""])
async def test_c07_a_bad_username_is_refused(service: Service, username: str) -> None:
    """C07: the documented rules for a username hold."""
    fields = {"username": username, "password": PASSWORD, "alias": "conformance"}
    status, answer = await service.ask("POST", "Endpoint/", fields)
    assert (status, "error" in answer) == (400, True)


async def test_c08_a_short_password_is_refused(service: Service) -> None:
    """C08: four characters are too few."""
    fields = {"username": "conformance", "password": "1234", "alias": "conformance"}
    status, answer = await service.ask("POST", "Endpoint/", fields)
    assert (status, "error" in answer) == (400, True)


async def test_c09_strangers_stay_outside(service: Service) -> None:
    """C09: a wrong token is a 401."""
    headers = {"Authorization": aiohttp.encode_basic_auth(service.auth_id, "wrong")}
    async with service.session.get("Endpoint/", headers=headers) as response:
        assert 401 == response.status


async def test_c10_a_token_is_minted(service: Service) -> None:
    """C10: header and claims of a token are the known ones."""
    voice = {"incoming_allow": False, "outgoing_allow": True}
    asked = {"iss": service.auth_id, "sub": "conformance", "per": {"voice": voice}}
    status, answer = await service.ask("POST", "JWT/Token/", asked)
    header = jwt.get_unverified_header(answer["token"])
    # PyJWT names types of `cryptography`, which it works without.
    claims = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
        answer["token"], options={"verify_signature": False}
    )
    assert status in (200, 201, 202)
    assert (header["alg"], header["cty"]) == ("HS256", "plivo;v=1")
    assert (claims["iss"], claims["sub"], claims["per"]) == (service.auth_id, "conformance", {"voice": voice})
    assert 86_400 == claims["exp"] - claims["nbf"]


async def test_c11_incoming_calls_need_a_subject(service: Service) -> None:
    """C11: a token that lets nobody be called is refused."""
    asked = {"iss": service.auth_id, "per": {"voice": {"incoming_allow": True}}}
    status, answer = await service.ask("POST", "JWT/Token/", asked)
    assert (status, "error" in answer) == (400, True)


@pytest.mark.parametrize("seconds", [179, 86_401])
async def test_c12_a_token_lives_minutes_to_a_day(service: Service, seconds: int) -> None:
    """C12: below 3 minutes and above 24 hours there is none."""
    asked = {"iss": service.auth_id, "nbf": 1_900_000_000, "exp": 1_900_000_000 + seconds}
    status, answer = await service.ask("POST", "JWT/Token/", asked)
    assert (status, "error" in answer) == (400, True)


async def test_c13_there_is_no_put(service: Service) -> None:
    """C13: a method that the path does not know is a 405."""
    status, _ = await service.ask("PUT", "Endpoint/", {})
    assert 405 == status

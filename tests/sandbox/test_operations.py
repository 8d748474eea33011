"""Each operation, asked for with a bare HTTP client."""

import hashlib
import re

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox

ALICE = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


async def created(api: aiohttp.ClientSession, **fields: str) -> dict[str, str]:
    """Make an endpoint and return the answer."""
    async with api.post("Endpoint/", json=ALICE | fields) as response:
        answer: dict[str, str] = await response.json()
        return answer


async def test_create_answers_the_suffixed_username(api: aiohttp.ClientSession) -> None:
    """A create answers 201 with exactly the documented fields, 12 digits after the name."""
    async with api.post("Endpoint/", json=ALICE) as response:
        answer = await response.json()
    assert 201 == response.status
    assert ["alias", "api_id", "endpoint_id", "message", "username"] == sorted(answer)
    assert (answer["alias"], answer["message"]) == ("front-desk", "created")
    assert re.fullmatch(r"alice\d{12}", answer["username"])
    assert re.fullmatch(r"\d{14}", answer["endpoint_id"])


async def test_retrieve_shows_the_md5_until_registered(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """An unregistered endpoint shows its password's MD5 and nothing of SIP contact."""
    endpoint_id = (await created(api, app_id="123"))["endpoint_id"]
    account = f"/v1/Account/{sandbox.auth_id}"
    async with api.get(f"Endpoint/{endpoint_id}/") as response:
        answer = await response.json()
    username = sandbox.endpoints[endpoint_id].username
    answer.pop("api_id")
    assert {
        "alias": "front-desk",
        "application": f"{account}/Application/123/",
        "endpoint_id": endpoint_id,
        "password": hashlib.md5(b"s3cret", usedforsecurity=False).hexdigest(),
        "resource_uri": f"{account}/Endpoint/{endpoint_id}/",
        "sip_registered": "false",
        "sip_uri": f"sip:{username}@phone.plivo.com",
        "sub_account": None,
        "username": username,
    } == answer


async def test_a_registered_endpoint_shows_its_contact(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Registration adds three fields, takes the password away, and ends with unregister."""
    endpoint_id = (await created(api))["endpoint_id"]
    sandbox.register(endpoint_id, contact="sip:alice@192.0.2.7:5060;ob", user_agent="Phone 2")
    async with api.get(f"Endpoint/{endpoint_id}/") as response:
        registered = await response.json()
    sandbox.unregister(endpoint_id)
    async with api.get(f"Endpoint/{endpoint_id}/") as response:
        unregistered = await response.json()
    assert "true" == registered["sip_registered"]
    assert "sip:alice@192.0.2.7:5060;ob" == registered["sip_contact"]
    assert "Phone 2" == registered["sip_user_agent"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", registered["sip_expires"])
    assert "password" not in registered
    assert "false" == unregistered["sip_registered"]
    assert "password" in unregistered
    assert not {"sip_contact", "sip_expires", "sip_user_agent"} & set(unregistered)


async def test_a_list_item_has_no_password(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """List items leave the password out, and carry the contact of those that are registered."""
    first, second = (await created(api))["endpoint_id"], (await created(api))["endpoint_id"]
    sandbox.register(first)
    async with api.get("Endpoint/") as response:
        newest, oldest = (await response.json())["objects"]
    assert (newest["endpoint_id"], oldest["endpoint_id"]) == (second, first)
    assert ("password" in newest, "sip_contact" in newest) == (False, False)
    assert ("password" in oldest, "sip_contact" in oldest) == (False, True)


async def test_update_changes_the_given_fields_only(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """An update answers 202 and leaves what it does not name."""
    endpoint_id = (await created(api))["endpoint_id"]
    before = sandbox.endpoints[endpoint_id]
    async with api.post(f"Endpoint/{endpoint_id}/", json={"alias": "Double time."}) as response:
        answer = await response.json()
    after = sandbox.endpoints[endpoint_id]
    assert (202, ["api_id", "message"], "changed") == (response.status, sorted(answer), answer["message"])
    assert (after.alias, after.password, after.app_id) == ("Double time.", before.password, before.app_id)


async def test_a_deleted_endpoint_is_gone(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """A delete answers 204 without a body; afterwards there is nothing to get, change or delete."""
    endpoint_id = (await created(api))["endpoint_id"]
    async with api.delete(f"Endpoint/{endpoint_id}/") as response:
        assert (204, b"") == (response.status, await response.read())
    assert {} == dict(sandbox.endpoints)
    for method in ("GET", "POST", "DELETE"):
        async with api.request(method, f"Endpoint/{endpoint_id}/", json={"alias": "x"}) as response:
            answer = await response.json()
        assert (response.status, answer["error"], "api_id" in answer) == (404, "not found", True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", None),
        ("username", ""),
        ("username", "1alice"),
        ("username", "al-ice"),
        ("username", "älice"),
        ("username", "a" * 26),
        ("username", "alice\n"),
        ("username", ["alice"]),
        ("password", "1234"),
        ("password", 12345),
        ("password", "\ud800abcd"),
        ("alias", ""),
        ("alias", {"a": 1}),
        ("app_id", None),
        ("app_id", "../1"),
    ],
)
async def test_a_create_against_the_rules_names_the_field(
    sandbox: Sandbox, api: aiohttp.ClientSession, field: str, value: object
) -> None:
    """The error of a create maps the one field that is wrong to a list of messages; nothing is made."""
    async with api.post("Endpoint/", json=ALICE | {field: value}) as response:
        answer = await response.json()
    assert (400, ["api_id", "error"], [field]) == (response.status, list(answer), list(answer["error"]))
    assert [str] == [type(message) for message in answer["error"][field]]
    assert 0 == len(sandbox.endpoints)


async def test_a_username_of_25_letters_is_fine(api: aiohttp.ClientSession) -> None:
    """The longest name that is allowed is."""
    assert "created" == (await created(api, username="a" * 25))["message"]


@pytest.mark.parametrize(
    "changes", [{}, {"username": "bob"}, {"alias": ""}, {"password": "1234"}, {"app_id": 7}]
)
async def test_an_update_against_the_rules_is_refused_in_one_line(
    sandbox: Sandbox, api: aiohttp.ClientSession, changes: dict[str, object]
) -> None:
    """The error of an update is text, and the endpoint stays as it was."""
    endpoint_id = (await created(api))["endpoint_id"]
    before = sandbox.endpoints[endpoint_id]
    async with api.post(f"Endpoint/{endpoint_id}/", json=changes) as response:
        answer = await response.json()
    assert (400, ["api_id", "error"], str) == (response.status, list(answer), type(answer["error"]))
    assert sandbox.endpoints[endpoint_id] == before


async def test_strict_alias_refuses_what_the_documentation_forbids(
    sandbox: Sandbox, api: aiohttp.ClientSession
) -> None:
    """Plivo's own examples hold a space, its rules do not: strictness is a choice."""
    assert "Test Account" == (await created(api, alias="Test Account"))["alias"]
    sandbox.strict_alias = True
    async with api.post("Endpoint/", json=ALICE | {"alias": "Test Account"}) as response:
        assert (400, ["alias"]) == (response.status, list((await response.json())["error"]))
    assert "Test_Account-2" == (await created(api, alias="Test_Account-2"))["alias"]


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        ("Endpoint/", ("PUT", "PATCH", "DELETE", "HEAD"), {"GET", "POST"}),
        ("Endpoint/1/", ("PUT", "PATCH", "HEAD"), {"DELETE", "GET", "POST"}),
        ("JWT/Token/", ("GET", "PUT", "DELETE"), {"POST"}),
    ],
)
async def test_a_method_that_the_path_does_not_know(
    api: aiohttp.ClientSession, path: str, methods: tuple[str, ...], allowed: set[str]
) -> None:
    """The answer is 405, and its Allow header says what would do."""
    for method in methods:
        async with api.request(method, path) as response:
            assert (405, allowed) == (response.status, set(response.headers["Allow"].split(",")))


@pytest.mark.parametrize("path", ["Endpoint", "endpoint/", "Call/", "Endpoint/1/2/", "JWT/"])
async def test_an_unknown_path_is_not_found(api: aiohttp.ClientSession, path: str) -> None:
    """A missing trailing slash is another path."""
    async with api.get(path) as response:
        assert (404, "not found") == (response.status, (await response.json())["error"])


async def test_every_answer_has_its_own_request_id(api: aiohttp.ClientSession) -> None:
    """No two answers share an api_id or an X-Request-ID."""
    seen: set[str] = set()
    for path in ("Endpoint/", "Endpoint/", "Nothing/", "Endpoint/?limit=0"):
        async with api.get(path) as response:
            seen |= {(await response.json())["api_id"], response.headers["X-Request-ID"]}
    assert 8 == len(seen)

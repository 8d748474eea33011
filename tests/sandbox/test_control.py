"""The control path, as a test in another language uses it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Fault, Sandbox

ALICE = {"username": "alice", "password": "s3cret-canary", "alias": "front-desk"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Open the control path."""
    async with Sandbox(control=True) as running:
        yield running


async def send(api: aiohttp.ClientSession, path: str, body: object) -> tuple[int, Any]:
    """POST below the control path and return status and answer."""
    async with api.post(f"/_sandbox/{path}", json=body) as response:
        return response.status, await response.json()


async def create(api: aiohttp.ClientSession) -> int:
    """Ask for an endpoint and return the status."""
    async with api.post("Endpoint/", json=ALICE) as response:
        return response.status


async def test_it_is_closed_unless_asked_for() -> None:
    """Without `control=True` there is nothing there, even for the account itself."""
    async with Sandbox() as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:
        headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
        async with session.get("/_sandbox/state", headers=headers) as response:
            assert 404 == response.status


async def test_it_asks_for_credentials(sandbox: Sandbox) -> None:
    """A stranger learns nothing and changes nothing."""
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        async with session.get("/_sandbox/state") as response:
            assert 401 == response.status
        async with session.delete("/_sandbox/faults") as response:
            assert 401 == response.status


async def test_faults_are_ordered_and_cleared(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Every field of an order has its JSON."""
    fault = {"applied": False, "status": 503, "headers": {"Retry-After": "1"}, "body": None, "latency": 0}
    order = {"fault": fault, "times": 2, "method": "POST", "path": "Endpoint/"}
    assert 200 == (await send(api, "faults", order))[0]
    assert 503 == await create(api)
    async with api.delete("/_sandbox/faults") as response:
        assert 200 == response.status
    assert 201 == await create(api)
    assert (
        200
        == (await send(api, "faults", {"fault": {"applied": True, "reset": True}, "rate": 1, "seed": 3}))[0]
    )
    with pytest.raises(aiohttp.ClientOSError):
        await create(api)
    assert {"alice": 2} == sandbox.applied_creates


async def test_what_happened_can_be_asked(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """State, requests and creates hold what was done, and no password."""
    await create(api)
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id, "sub": "alice"}) as response:
        token = (await response.json())["token"]
    answers: dict[str, Any] = {}
    texts = ""
    for name in ("state", "requests", "creates"):
        async with api.get(f"/_sandbox/{name}") as response:
            answers[name] = await response.json()
            texts += await response.text()
    (endpoint_id,) = sandbox.endpoints
    assert [endpoint_id] == [item["endpoint_id"] for item in answers["state"]["endpoints"]]
    assert ["alice"] == [claims["sub"] for claims in answers["state"]["tokens"]]
    assert [
        ("POST", 201),
        ("POST", 200),
    ] == [(each["method"], each["status"]) for each in answers["requests"]["requests"]]
    assert {"alice": 1} == answers["creates"]["creates"]
    secrets = ("s3cret-canary", sandbox.endpoints[endpoint_id].password, sandbox.auth_token, token)
    assert [False] * 4 == [secret in texts for secret in secrets]


async def test_settings_change(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The account's settings can all be set."""
    wanted = {
        "pagination": "cursor",
        "order": "oldest",
        "strict_alias": True,
        "quota": True,
        "list_lag": 1.5,
    }
    assert 200 == (await send(api, "settings", wanted))[0]
    assert {name: getattr(sandbox, name) for name in wanted} == wanted


async def test_the_clock_is_set_and_moved(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Time is set in ISO 8601 and moved in seconds."""
    status, answer = await send(api, "clock", {"set": "2030-01-01T00:00:00Z", "move": 3600})
    assert (status, answer["now"][:15]) == (200, "2030-01-01T01:0")
    assert 2030 == sandbox.clock.now().year


async def test_endpoints_register(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Registration is a POST, and 404 for what is not there."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    assert 200 == (await send(api, f"endpoints/{endpoint_id}/register", {}))[0]
    assert sandbox.endpoints[endpoint_id].sip_registered
    assert 200 == (await send(api, f"endpoints/{endpoint_id}/unregister", {}))[0]
    assert not sandbox.endpoints[endpoint_id].sip_registered
    assert 404 == (await send(api, "endpoints/1/register", {}))[0]


async def test_it_leaves_no_trace_among_the_requests(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Asking is not an event, and no fault strikes it."""
    await send(api, "faults", {"fault": {"applied": False, "status": 500}})
    async with api.get("/_sandbox/requests") as response:
        assert (200, []) == (response.status, (await response.json())["requests"])
    assert () == sandbox.requests


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {}),
        ("faults", []),
        ("faults", {"fault": {"applied": "true", "status": 500}}),
        ("faults", {"fault": {"applied": False}}),
        ("faults", {"fault": {"applied": True, "status": True}}),
        ("faults", {"fault": {"applied": True, "colour": 1}}),
        ("faults", {"fault": {"applied": True, "headers": {"a": 1}}}),
        ("faults", {"fault": {"applied": True, "headers": {"a": "b\r\nc: d"}}}),
        ("faults", {"fault": {"applied": True, "body": "\ud800", "status": 500}}),
        ("faults", {"fault": {"applied": True, "content_type": "a\nb", "status": 500}}),
        ("faults", {"fault": {"applied": True, "status": 500}, "times": 0}),
        ("faults", {"fault": {"applied": True, "status": 500}, "rate": 2}),
        ("faults", {"fault": {"applied": True, "status": 500}, "method": "post"}),
        ("faults", {"fault": {"applied": True, "status": 500}, "path": "Endpoint"}),
        ("settings", {"pagination": "pages"}),
        ("settings", {"order": 1}),
        ("settings", {"quota": 1}),
        ("clock", {"set": "tomorrow"}),
        ("clock", {"set": "0001-01-01T00:00:00+23:59"}),
        ("clock", {"move": 1e300}),
        ("clock", {"move": -1e11}),
        ("clock", {"move": 10**400}),
        ("clock", {"set": "2030-01-01T00:00:00Z", "move": -1e11}),
        ("settings", {"list_lag": -5}),
        ("settings", {"list_lag": 86_401}),
        ("settings", {"list_lag": 10**400}),
        ("settings", {"list_lag": True}),
        ("faults", {"fault": {"applied": True, "latency": -1}}),
        ("faults", {"fault": {"applied": True, "latency": 86_401}}),
        ("faults", {"fault": {"applied": True, "drip": 1e300}}),
        ("faults", {"fault": {"applied": True, "truncate_at": -1}}),
        ("faults", {"fault": {"applied": True, "status": 10**400}}),
        ("faults", {"fault": {"applied": True, "headers": {f"x-{number}": "" for number in range(101)}}}),
        ("faults", {"fault": {"applied": True}, "rate": 10**400}),
        ("faults", {"fault": {"applied": True, "latency": 1}, "latency_sigma": 10**400}),
        ("faults", {"fault": {"applied": True, "latency": 1}, "latency_sigma": "0.5"}),
        ("faults", {"fault": {"applied": True}, "path": "Endpoint/*" + "/" * 200}),
        ("faults", {"fault": {"applied": True}, "path": "[" * 900_000}),
        ("faults", {"fault": {"applied": True}, "method": "x" * 900_000}),
    ],
)
async def test_what_makes_no_sense_is_refused(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, body: object
) -> None:
    """A wrong field, type or value is a 400 that says in short what is wrong, and changes nothing."""
    before = sandbox.clock.now()
    status, answer = await send(api, path, body)
    assert (400, str) == (status, type(answer["error"]))
    assert len(answer["error"]) <= 500
    assert timedelta() <= sandbox.clock.now() - before < timedelta(minutes=2)
    assert 201 == await create(api)


# JSON spells numbers that Python's own writer does not.
NUMBERS = ["1e999", "-1e999", "1" + "0" * 4000, "NaN", "Infinity", "-0.0001"]
FIELDS = [
    ("settings", '{"list_lag": NUMBER}'),
    ("settings", '{"order": "oldest", "list_lag": NUMBER}'),
    ("clock", '{"move": NUMBER}'),
    ("faults", '{"fault": {"applied": true, "latency": NUMBER}}'),
    ("faults", '{"fault": {"applied": true, "drip": NUMBER}}'),
    ("faults", '{"fault": {"applied": true, "status": NUMBER}}'),
    ("faults", '{"fault": {"applied": true, "reset": true}, "rate": NUMBER}'),
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:8])
@pytest.mark.parametrize(("path", "body"), FIELDS)
async def test_numbers_are_finite_and_in_range(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, body: str, number: str
) -> None:
    """Each is a 400 that changes nothing: lists, creates and tokens work afterwards."""
    async with api.post(f"/_sandbox/{path}", data=body.replace("NUMBER", number)) as response:
        refused = 400 == response.status
    assert refused or (path, number) == ("clock", "-0.0001")
    async with api.get("Endpoint/") as response:
        assert 200 == response.status
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id}) as response:
        assert 200 == response.status
    assert (201, "newest", 0) == (await create(api), sandbox.order, sandbox.list_lag)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, 86_401, 10**400])
def test_python_has_the_same_bounds(seconds: float) -> None:
    """Seconds of lag, latency and drip are at most a day, wherever they are set."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="list_lag must be a number from 0 to 86400"):
        sandbox.list_lag = seconds
    with pytest.raises(ValueError, match="latency must be a number from 0 to 86400"):
        Fault(applied=True, latency=seconds)
    with pytest.raises(ValueError, match="drip must be a number from 0 to 86400"):
        Fault(applied=True, drip=seconds)


async def test_the_widest_settings_work(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """At both ends of the clock, with the longest lag and the quota, nothing is a 500."""
    sandbox.list_lag, sandbox.quota = 86_400, True
    for moment in ("1970-01-01T00:00:00Z", "8999-12-31T23:59:59Z", "1980-01-01T00:00:00Z"):
        assert 200 == (await send(api, "clock", {"set": moment}))[0]
        for _ in range(150):
            async with api.get("Endpoint/") as response:
                assert 200 == response.status
        assert 201 == await create(api)
        endpoint_id = list(sandbox.endpoints)[-1]
        assert 200 == (await send(api, f"endpoints/{endpoint_id}/register", {}))[0]
        async with api.post("JWT/Token/", json={"iss": sandbox.auth_id}) as response:
            assert 200 == response.status
        async with api.get("/_sandbox/state") as response:
            assert 200 == response.status

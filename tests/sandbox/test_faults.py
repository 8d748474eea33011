"""Faults on order, as a bare HTTP client meets them."""

import asyncio
import math
import time

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from plivo_endpoints.sandbox import Fault, Sandbox
from plivo_endpoints.sandbox._faults import Faults, new_injection
from plivo_endpoints.sandbox._routes import add_routes

ALICE = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


async def create(api: aiohttp.ClientSession) -> int:
    """Ask for an endpoint and return the status."""
    async with api.post("Endpoint/", json=ALICE) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("applied", [True, False])
async def test_a_status_hides_whether_it_was_applied(
    sandbox: Sandbox, api: aiohttp.ClientSession, applied: bool
) -> None:
    """The answer is the same; the sandbox knows what happened."""
    sandbox.inject(Fault(applied=applied, status=503))
    async with api.post("Endpoint/", json=ALICE) as response:
        answer = await response.json()
    assert (response.status, answer["error"], "api_id" in answer) == (503, "service unavailable", True)
    assert int(applied) == len(sandbox.endpoints)
    assert sandbox.applied_creates == ({"alice": 1} if applied else {})
    assert [(503, applied)] == [(record.status, record.applied) for record in sandbox.requests]
    assert 201 == await create(api)


@pytest.mark.parametrize("applied", [True, False])
async def test_a_reset_hides_whether_it_was_applied(
    sandbox: Sandbox, api: aiohttp.ClientSession, applied: bool
) -> None:
    """The connection ends without an answer."""
    sandbox.inject(Fault(applied=applied, reset=True))
    with pytest.raises(aiohttp.ClientOSError):
        await create(api)
    assert int(applied) == len(sandbox.endpoints)
    assert [(None, applied)] == [(record.status, record.applied) for record in sandbox.requests]


async def test_html_from_a_proxy(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Body, content type and headers are free."""
    page = "<html>Bad gateway</html>"
    sandbox.inject(
        Fault(
            applied=False,
            status=502,
            body=page,
            content_type="text/html; charset=utf-8",
            headers={"Via": "x"},
        )
    )
    async with api.get("Endpoint/") as response:
        seen = (response.status, response.content_type, response.headers["Via"], await response.text())
    assert (502, "text/html", "x", page) == seen


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "2"}])
async def test_too_many_requests(
    sandbox: Sandbox, api: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """A 429 comes with or without Retry-After."""
    sandbox.inject(Fault(applied=False, status=429, headers=headers))
    async with api.get("Endpoint/") as response:
        assert (response.status, response.headers.get("Retry-After")) == (429, headers.get("Retry-After"))


@pytest.mark.parametrize("reset", [True, False])
async def test_a_truncated_answer(sandbox: Sandbox, api: aiohttp.ClientSession, reset: bool) -> None:
    """The head promises more than comes."""
    sandbox.inject(Fault(applied=True, truncate_at=10, reset=reset))
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
        await create(api)
    assert 1 == len(sandbox.endpoints)
    assert 201 == await create(api)


async def test_a_slow_answer(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Latency holds the answer back; who gives up meanwhile has been served all the same."""
    sandbox.inject(Fault(applied=True, latency=30))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(create(api), 0.5)
    assert [(201, True)] == [(record.status, record.applied) for record in sandbox.requests]
    assert 1 == len(sandbox.endpoints)


async def test_who_leaves_before_the_reset_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that is gone already cannot be reset, which is no error."""
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        sandbox.inject(Fault(applied=True, latency=30, reset=True))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.get(f"{sandbox.base_url}/v1/"), 0.5)
    assert [None] == [record.status for record in sandbox.requests]
    assert [] == caplog.records


async def test_a_dripping_answer(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The bytes of the body come one by one."""
    sandbox.inject(Fault(applied=False, status=200, body="0123456789", drip=0.005))
    begun = time.monotonic()
    async with api.get("Endpoint/") as response:
        chunks = [chunk async for chunk in response.content.iter_any()]
    assert (b"0123456789", True) == (b"".join(chunks), len(chunks) > 1)
    assert time.monotonic() - begun >= 0.045


async def test_who_leaves_a_dripping_answer_leaves_no_trace(
    sandbox: Sandbox, api: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that hangs up makes no noise in the log."""
    sandbox.inject(Fault(applied=False, status=200, body="x" * 40, drip=0.005))
    async with api.get("Endpoint/") as response:
        response.close()
    assert 201 == await create(api)
    assert [] == caplog.records


async def test_faults_choose_their_requests(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Method and path pattern select; the first that fits strikes; `times` counts strikes."""
    sandbox.seed(1)
    one = f"Endpoint/{next(iter(sandbox.endpoints))}/"
    sandbox.inject(Fault(applied=False, status=500), method="GET", path="Endpoint/", times=2)
    sandbox.inject(Fault(applied=False, status=501), method="GET", path="Endpoint/*/")
    asked = [("GET", one), ("GET", one), ("POST", one), *[("GET", "Endpoint/")] * 3]
    statuses: list[int] = []
    for method, path in asked:
        async with api.request(method, path, json={"alias": "a"}) as response:
            statuses.append(response.status)
    assert [501, 200, 202, 500, 500, 200] == statuses


async def test_a_rate_is_repeatable(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The same seed strikes the same requests, about as many as the rate says, until cleared."""

    async def statuses(seed: int) -> list[int]:
        sandbox.inject(Fault(applied=False, status=500), rate=0.3, seed=seed)
        seen: list[int] = []
        for _ in range(100):
            async with api.get("Endpoint/") as response:
                seen.append(response.status)
        sandbox.clear_faults()
        return seen

    first, again, other = await statuses(1), await statuses(1), await statuses(2)
    assert first == again != other
    assert 15 < first.count(500) < 45
    async with api.get("Endpoint/") as response:
        assert 200 == response.status


def latencies(seed: int, sigma: float, count: int = 400) -> list[float]:
    """Return the latencies of the next requests, half of which a fault applies to, in seconds."""
    faults = Faults()
    slow = Fault(applied=True, latency=0.05)
    faults.add(new_injection(slow, rate=0.5, seed=seed, latency_sigma=sigma))
    struck = [faults.strike("GET", "Endpoint/") for _ in range(count)]
    return [fault.latency for fault in struck if fault is not None]


def test_lognormal_latencies() -> None:
    """The fault's latency is the median; the tail is as long as sigma says, and the same for a seed."""
    drawn = sorted(latencies(1, sigma=0.5, count=4_000))
    assert 0.047 < drawn[len(drawn) // 2] < 0.053
    beyond_one_sigma = sum(latency > 0.05 * math.e**0.5 for latency in drawn) / len(drawn)
    assert 0.13 < beyond_one_sigma < 0.19
    assert latencies(1, sigma=0.5) == latencies(1, sigma=0.5) != latencies(2, sigma=0.5)
    assert {0.05} == set(latencies(1, sigma=0))


def test_no_latency_exceeds_a_day() -> None:
    """However long the tail is."""
    faults = Faults()
    faults.add(new_injection(Fault(applied=True, latency=86_400), rate=1, latency_sigma=5))
    struck = [faults.strike("GET", "Endpoint/") for _ in range(10)]
    assert 86_400 == max(fault.latency for fault in struck if fault is not None)


@pytest.mark.parametrize(
    ("latency", "sigma"), [(0.05, -0.1), (0.05, 5.1), (0.05, float("nan")), (0.05, float("inf")), (0, 0.5)]
)
def test_a_distribution_that_makes_no_sense(latency: float, sigma: float) -> None:
    """Sigma has its bounds, and a median of 0 has no tail."""
    with pytest.raises(ValueError, match="latency_sigma must be"):
        Sandbox().inject(Fault(applied=True, latency=latency), latency_sigma=sigma)


async def test_one_latency_per_request(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """A fault with a distribution is sent like any other."""
    sandbox.inject(Fault(applied=False, status=503, latency=0.001), times=2, latency_sigma=0.5)
    assert [503, 503, 201] == [await create(api) for _ in range(3)]


@pytest.mark.parametrize(
    "fields",
    [
        {"applied": False},
        {"applied": True, "status": 100},
        {"applied": True, "status": 600},
        {"applied": True, "latency": -1.0},
        {"applied": True, "truncate_at": -1},
        {"applied": True, "headers": {"Content-Length": "9"}},
        {"applied": True, "body": "{}"},
    ],
)
def test_a_fault_that_makes_no_sense(fields: dict[str, object]) -> None:
    """What cannot be sent cannot be ordered."""
    with pytest.raises(ValueError, match=r"must|needs"):
        Fault(**fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("times", "rate"), [(0, None), (None, 1.5), (None, -0.1), (1, 0.5)])
def test_an_order_that_makes_no_sense(times: int | None, rate: float | None) -> None:
    """Times and rate have their limits and exclude each other."""
    with pytest.raises(ValueError, match=r"times|rate"):
        Sandbox().inject(Fault(applied=True, status=500), times=times, rate=rate)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", None),
        ("PUT", None),
        (None, ""),
        (None, "Endpoint"),
        (None, "endpoint/"),
        (None, "/Endpoint/"),
        (None, "/v1/Account/*/Endpoint/"),
        (None, "Endpoint/*/*/"),
        (None, "Token/"),
        ("DELETE", "Endpoint/"),
        ("GET", "JWT/Token/"),
    ],
)
def test_an_order_that_no_request_can_fit(method: str | None, path: str | None) -> None:
    """It is refused at once, or a test would wait for its fault in vain and pass."""
    with pytest.raises(ValueError, match="matches no operation"):
        Sandbox().inject(Fault(applied=True, status=500), method=method, path=path)


def served_operations() -> list[tuple[str, str]]:
    """Return the method and a path, below the account's, of each operation that the sandbox has."""
    app = web.Application()
    add_routes(app)
    return sorted(
        (route.method, route.resource.canonical.split("{auth_id}/")[1].format(endpoint_id="12345678901234"))
        for route in app.router.routes()
        if route.resource is not None
    )


OPERATIONS = served_operations()


@settings(deadline=None)
@given(st.sampled_from(OPERATIONS), st.data())
def test_an_order_that_a_request_can_fit(operation: tuple[str, str], data: st.DataObject) -> None:
    """Whatever wildcards stand in a real path, the pattern is taken, and strikes."""
    method, path = operation
    patterns = [
        st.sampled_from(["/", "*"] if character == "/" else [character, "*", "?", f"[{character}]", "[!/]"])
        for character in path
    ]
    pattern = "".join(data.draw(st.tuples(*patterns)))
    faults = Faults()
    faults.add(new_injection(Fault(applied=True, status=500), method=method, path=pattern))
    assert faults.strike(method, path) is not None


async def test_a_status_that_nobody_knows(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Any status from 200 to 599 can be sent."""
    sandbox.inject(Fault(applied=False, status=599))
    async with api.get("Endpoint/") as response:
        assert (599, "error") == (response.status, (await response.json())["error"])


async def test_a_status_without_a_body(sandbox: Sandbox) -> None:
    """Also if it drips: bytes after it would be taken for the next response of the connection."""
    for status in (204, 304):
        sandbox.inject(Fault(applied=False, status=status, drip=0.001))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sandbox.base_url.rpartition(":")[2]))
    login = aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)
    request = (
        f"GET /v1/Account/{sandbox.auth_id}/Endpoint/ HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\r\n"
    )
    for status in (204, 304, 200):
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()

"""What a sandbox keeps is bounded, however much it is sent, and by whomever."""

import io
import json

import aiohttp
import pytest

from plivo_endpoints.sandbox import RequestRecord, Sandbox


async def test_a_body_of_many_keys(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Fifty of 80,000 are kept, each cut to 200 characters."""
    body = {"alias": "x" * 500, "y" * 500: 1} | {f"{number}": 1 for number in range(80_000)}
    async with api.post(
        "Endpoint/", data=io.BytesIO(json.dumps(body, separators=(",", ":")).encode())
    ) as response:
        assert 400 == response.status
    (record,) = sandbox.requests
    kept = dict(record.body or {})
    assert (50, "x" * 200, "[redacted]") == (len(kept), kept["alias"], kept["y" * 200])


async def test_a_long_target(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """A path is cut to 200 characters; of a query fifty parameters are kept."""
    query = "&".join(f"{number}=1" for number in range(600))
    async with api.get(f"Endpoint/{'9' * 3000}/?{query}") as response:
        assert 404 == response.status
    (record,) = sandbox.requests
    assert (200, 50) == (len(record.path), len(record.query))


def weigh(records: tuple[RequestRecord, ...]) -> int:
    """Return how many bytes of JSON records are."""
    return sum(len(json.dumps([each.path, each.query, each.body])) for each in records)


async def test_strangers_cannot_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large requests without credentials, the oldest are forgotten where there is no room."""
    monkeypatch.setattr("plivo_endpoints.sandbox._record.MAX_BYTES", 200_000)
    query = "&".join(f"limit{number}={number}" for number in range(500))
    async with Sandbox() as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:
        for number in range(300):
            async with session.get(f"/v1/{number}/{'x' * 200}?{query}") as response:
                assert 401 == response.status
        assert 10 < len(sandbox.requests) < 150
        assert weigh(sandbox.requests) < 200_000
        assert sandbox.requests[-1].path.startswith("/v1/299/")
        assert sandbox.requests[0].path.startswith(f"/v1/{300 - len(sandbox.requests)}/")


async def test_ordinary_requests_all_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """128 MiB have room for 100,000 creates: a thousandth of it for a hundred."""
    monkeypatch.setattr("plivo_endpoints.sandbox._record.MAX_BYTES", 128 * 2**20 // 1000)
    async with Sandbox() as sandbox:
        headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
        async with aiohttp.ClientSession(sandbox.base_url, headers=headers) as session:
            for number in range(100):
                fields = {"username": f"user{number}", "password": "s3cret", "alias": f"Front desk {number}"}
                async with session.post(f"/v1/Account/{sandbox.auth_id}/Endpoint/", json=fields):
                    pass
        assert 100 == len(sandbox.requests)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("Endpoint/", {"username": "alice", "password": "s3cret", "alias": "x" * 1001}),
        ("Endpoint/", {"username": "alice", "password": "x" * 1001, "alias": "a"}),
        ("JWT/Token/", {"sub": "x" * 1001}),
        ("JWT/Token/", {"app": "x" * 1001}),
    ],
)
async def test_texts_have_an_end(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, body: dict[str, str]
) -> None:
    """What is kept of an endpoint or a token has at most 1,000 characters."""
    async with api.post(path, json=body | {"iss": sandbox.auth_id}) as response:
        assert 400 == response.status
        assert "1000" in await response.text()
    assert (0, ()) == (len(sandbox.endpoints), sandbox.tokens)


async def test_usernames_have_an_end(
    sandbox: Sandbox, api: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those asked for first are forgotten."""
    monkeypatch.setattr("plivo_endpoints.sandbox._state.MAX_USERNAMES", 3)
    for name in ("a", "b", "a", "c", "d"):
        async with api.post("Endpoint/", json={"username": name, "password": "s3cret", "alias": "a"}):
            pass
    assert {"b": 1, "c": 1, "d": 1} == sandbox.applied_creates


async def test_faults_over_http_have_an_end() -> None:
    """A hundred can wait; then they have to be cleared."""
    async with Sandbox(control=True) as sandbox:
        headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
        fault = {"fault": {"applied": False, "status": 500}}
        async with aiohttp.ClientSession(sandbox.base_url, headers=headers) as session:
            statuses = []
            for _ in range(101):
                async with session.post("/_sandbox/faults", json=fault) as response:
                    statuses.append(response.status)
            async with session.delete("/_sandbox/faults"):
                pass
            async with session.post("/_sandbox/faults", json=fault) as response:
                statuses.append(response.status)
        assert [200] * 100 + [400, 200] == statuses

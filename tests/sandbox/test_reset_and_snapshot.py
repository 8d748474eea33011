"""An account goes back to its beginning, or to a snapshot, in Python and over HTTP."""

import io
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest

from plivo_endpoints.sandbox import Fault, Sandbox
from plivo_endpoints.sandbox._rules import Changes

ALICE = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Enable the control path; lists start with the oldest endpoint."""
    async with Sandbox(control=True, order="oldest") as running:
        yield running


async def use(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Leave something of every kind in the account."""
    async with api.post("Endpoint/", json=ALICE), api.post("JWT/Token/", json={"iss": sandbox.auth_id}):
        pass
    sandbox.inject(Fault(applied=False, status=503), rate=1)
    sandbox.order, sandbox.quota, sandbox.list_lag = "newest", True, 5
    sandbox.clock.set(datetime(2040, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("over_http", [False, True])
async def test_a_reset(sandbox: Sandbox, api: aiohttp.ClientSession, over_http: bool) -> None:
    """Nothing is left but the credentials, and the settings are those that the sandbox started with."""
    subaccount = sandbox.add_subaccount()
    await use(sandbox, api)
    if over_http:
        async with api.post("/_sandbox/reset") as response:
            assert 200 == response.status
    else:
        sandbox.reset()
    assert (0, (), (), {}) == (
        len(sandbox.endpoints),
        sandbox.requests,
        sandbox.tokens,
        sandbox.applied_creates,
    )
    assert ("oldest", False, 0) == (sandbox.order, sandbox.quota, sandbox.list_lag)
    assert abs((sandbox.clock.now() - datetime.now(UTC)).total_seconds()) < 60
    signed_in = aiohttp.encode_basic_auth(subaccount.auth_id, subaccount.auth_token)
    url = f"{sandbox.base_url}/v1/Account/{subaccount.auth_id}/Endpoint/"
    async with api.get(url, headers={"Authorization": signed_in}) as response:
        assert 200 == response.status


def test_ids_are_never_used_again() -> None:
    """After a reset, or a snapshot restored, new endpoints have new ids."""
    sandbox = Sandbox(endpoints=1)
    snapshot = sandbox.snapshot()
    seen = set(sandbox.endpoints)
    for _ in range(2):
        sandbox.seed(2)
        seen |= set(sandbox.endpoints)
        sandbox.restore(snapshot)
    sandbox.reset()
    sandbox.seed(1)
    assert 6 == len(seen | set(sandbox.endpoints))


def test_the_quota_starts_again() -> None:
    """The requests before a reset do not count."""
    sandbox = Sandbox()
    for _ in range(300):
        assert sandbox._state.quota.admit(0)
    assert not sandbox._state.quota.admit(0)
    sandbox.reset()
    assert sandbox._state.quota.admit(0)


def test_the_digits_are_the_time_again() -> None:
    """A clock that was ahead leaves no trace in later usernames."""
    sandbox = Sandbox()
    sandbox.clock.set(datetime(2040, 1, 1, tzinfo=UTC))
    sandbox.seed(1)
    sandbox.reset()
    sandbox.clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    sandbox.seed(1)
    (endpoint,) = sandbox.endpoints.values()
    assert "user1300101" == endpoint.username[:11]


def filled() -> tuple[Sandbox, dict[str, Any]]:
    """Return an account of two endpoints, one of them registered, and its snapshot."""
    sandbox = Sandbox(endpoints=2)
    sandbox.register(next(iter(sandbox.endpoints)))
    return sandbox, sandbox.snapshot()


def test_a_snapshot() -> None:
    """Endpoints and registrations are as they were, whatever happened since; all else is as it is now."""
    sandbox, snapshot = filled()
    before = dict(sandbox.endpoints)
    sandbox.unregister(next(iter(sandbox.endpoints)))
    sandbox.seed(3)
    sandbox.quota = True
    sandbox.restore(snapshot)
    assert (before, True) == (dict(sandbox.endpoints), sandbox.quota)
    assert sandbox.snapshot()["endpoints"] == snapshot["endpoints"]


def test_a_snapshot_of_another_account() -> None:
    """The endpoints become this account's, as if it had created them."""
    other, snapshot = filled()
    sandbox = Sandbox()
    sandbox.restore(json.loads(json.dumps(snapshot)))
    assert list(other.endpoints) == list(sandbox.endpoints)
    assert {sandbox.auth_id} == {endpoint.account_id for endpoint in sandbox.endpoints.values()}


def test_a_snapshot_holds_no_credentials() -> None:
    """It can be shared between accounts; a state file can be restored as well."""
    sandbox, snapshot = filled()
    assert {"format", "default_app_id", "last_id", "last_suffix", "endpoints"} == set(snapshot)
    assert sandbox.auth_token not in json.dumps(snapshot)


async def test_a_snapshot_over_http(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """It may be larger than other bodies."""
    sandbox.seed(6)
    for endpoint_id in sandbox.endpoints:
        sandbox.register(endpoint_id, user_agent="x" * 200_000)
    before = dict(sandbox.endpoints)
    async with api.get("/_sandbox/snapshot") as response:
        snapshot = await response.read()
    assert len(snapshot) > 2**20
    sandbox.reset()
    async with api.post("/_sandbox/snapshot", data=io.BytesIO(snapshot)) as response:
        assert 200 == response.status
    assert before == dict(sandbox.endpoints)


def spoil(snapshot: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return the snapshot with another value at a dotted path."""
    copy: Any = json.loads(json.dumps(snapshot))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = copy
    for part in parents:
        place = place[part]
    place[last] = value
    return cast("dict[str, Any]", copy)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 99),
        ("endpoints", {}),
        ("endpoints.0", None),
        ("endpoints.0.endpoint_id", "1"),
        ("endpoints.1.username", 5),
        ("endpoints.1.created", "yesterday"),
        ("endpoints.0.registration.expires", 5),
        ("last_id", 10**13 - 1),
        ("last_id", 10**20),
        ("last_suffix", -1),
        ("default_app_id", ""),
    ],
)
async def test_a_spoilt_snapshot(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, value: object
) -> None:
    """It is refused with the name of the field, and nothing changes."""
    spoilt = spoil(filled()[1], path, value)
    sandbox.seed(1)
    before = dict(sandbox.endpoints)
    with pytest.raises(ValueError, match=path.partition(".")[0]):
        sandbox.restore(spoilt)
    async with api.post("/_sandbox/snapshot", json=spoilt) as response:
        assert (400, True) == (response.status, path.partition(".")[0] in (await response.json())["error"])
    assert before == dict(sandbox.endpoints)


async def test_endpoints_are_seeded_over_http(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """As many as requested, within bounds."""
    for body, status in (
        ({"count": 45}, 200),
        ({"count": 0}, 400),
        ({"count": 10_001}, 400),
        ({"count": True}, 400),
        ({}, 400),
    ):
        async with api.post("/_sandbox/seed", json=body) as response:
            assert status == response.status
    assert 45 == len(sandbox.endpoints)


async def test_tokens_are_shown(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Their claims, not the signed tokens."""
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id, "sub": "alice"}) as response:
        token = (await response.json())["token"]
    async with api.get("/_sandbox/tokens") as response:
        text = await response.text()
    assert (list(sandbox.tokens), False) == (json.loads(text)["tokens"], token in text)


def test_an_endpoint_that_a_reset_removed_meanwhile() -> None:
    """A request that has found it before changes nothing, and is no error of the sandbox."""
    sandbox = Sandbox(endpoints=1)
    (endpoint_id,) = sandbox.endpoints
    sandbox.reset()
    sandbox._state.store.change(endpoint_id, Changes(alias="lobby"))
    sandbox._state.store.delete(endpoint_id)
    assert 0 == len(sandbox.endpoints)


def test_a_snapshot_with_a_username_twice() -> None:
    """It is refused: no phone could tell the endpoints apart."""
    sandbox = Sandbox(endpoints=2)
    snapshot: Any = sandbox.snapshot()
    snapshot["endpoints"][1]["username"] = snapshot["endpoints"][0]["username"]
    with pytest.raises(ValueError, match=r"endpoints\[1\] has the username of another"):
        sandbox.restore(snapshot)


def test_what_is_there_before_and_after_a_restore_is_never_gone() -> None:
    """Also for a thread that looks while it is restored."""
    sandbox = Sandbox(endpoints=500)
    snapshot, first = sandbox.snapshot(), next(iter(sandbox.endpoints))
    missing: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if sandbox._state.store.get(first) is None:
                missing.append(first)

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(20):
        sandbox.restore(snapshot)
    ended.set()
    looking.join()
    assert [] == missing

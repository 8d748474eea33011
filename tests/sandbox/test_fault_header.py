"""A fault in the header of a request, for that request alone."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from plivo_endpoints.sandbox import Fault, Sandbox

ALICE = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Enable the control path."""
    async with Sandbox(control=True) as running:
        yield running


async def create(api: aiohttp.ClientSession, fault: str | None = None) -> tuple[int, object]:
    """Create an endpoint with a fault; return status and error."""
    headers = {} if fault is None else {"X-Sandbox-Fault": fault}
    async with api.post("Endpoint/", json=ALICE, headers=headers) as response:
        return response.status, (await response.json()).get("error")


async def test_one_request_fails(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The others do not, also if they are sent at the same time."""
    fault = '{"applied": true, "status": 503}'
    answers = await asyncio.gather(*(create(api, fault if number == 3 else None) for number in range(8)))
    assert [201] * 3 + [503] + [201] * 4 == [status for status, _ in answers]
    assert {"alice": 8} == sandbox.applied_creates


async def test_a_reset(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The connection is reset, as by any other fault."""
    with pytest.raises(aiohttp.ClientOSError):
        await create(api, '{"applied": true, "reset": true}')
    assert [(None, True)] == [(record.status, record.applied) for record in sandbox.requests]


async def test_it_takes_precedence(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """A pending fault waits for the next request without the header."""
    sandbox.inject(Fault(applied=False, status=500))
    statuses = [(await create(api, fault))[0] for fault in ('{"applied": false, "status": 501}', None, None)]
    assert [501, 500, 201] == statuses


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("", "valid JSON"),
        ("[]", "JSON object"),
        ("\xff", "valid JSON"),
        ("{}", "applied is required"),
        ('{"applied": false}', "needs a status"),
        ('{"applied": true, "colour": 1}', "unknown field colour"),
        ('{"applied": true, "latency": 1e999}', "latency must be"),
        ('{"applied": true, "headers": {"a": 1}}', "headers must map"),
    ],
)
async def test_a_header_that_makes_no_sense(
    sandbox: Sandbox, api: aiohttp.ClientSession, fault: str, rule: str
) -> None:
    """The status is 400, the message names the rule, and nothing is created."""
    status, error = await create(api, fault)
    assert (400, True) == (status, str(error).startswith("X-Sandbox-Fault: "))
    assert rule in str(error)
    assert ({}, [(400, False)]) == (
        sandbox.applied_creates,
        [(record.status, record.applied) for record in sandbox.requests],
    )


async def test_without_credentials_it_is_ignored(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Without valid credentials for the path the response is a 401, whatever the header says."""
    other = sandbox.add_subaccount()
    authorizations = ["", "Basic x", aiohttp.encode_basic_auth(other.auth_id, other.auth_token)]
    for authorization in authorizations:
        for fault in ('{"applied": false, "status": 503}', "{"):
            headers = {"Authorization": authorization, "X-Sandbox-Fault": fault}
            async with api.get("Endpoint/", headers=headers) as response:
                assert 401 == response.status


async def test_without_control_it_is_refused() -> None:
    """It is not ignored: a test would pass without testing anything."""
    async with Sandbox() as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:
        authorization = aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)
        headers = {"Authorization": authorization, "X-Sandbox-Fault": '{"applied": false, "status": 503}'}
        async with session.get(f"/v1/Account/{sandbox.auth_id}/Endpoint/", headers=headers) as response:
            document = await response.json()
            assert 400 == response.status
    assert "X-Sandbox-Fault needs a sandbox with --control" in document["error"]

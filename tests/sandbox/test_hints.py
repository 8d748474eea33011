"""Hints for requests that are addressed wrongly, beside the error that Plivo would send."""

from typing import Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox

LIST = "/v1/Account/{id}/Endpoint/"


async def ask(api: aiohttp.ClientSession, sandbox: Sandbox, method: str, path: str) -> tuple[int, Any]:
    """Send a request and return status and answer."""
    async with api.request(method, path.format(id=sandbox.auth_id)) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/Account/{id}/Endpoint", LIST),
        ("/Account/{id}/Endpoint/", LIST),
        ("/v1/v1/Account/{id}/Endpoint/", LIST),
        ("/v1/account/{id}/endpoint", LIST),
        ("/v1//Account/{id}/Endpoint/", LIST),
        ("/v1/Account/{id}/Endpoint/123", "/v1/Account/{id}/Endpoint/123/"),
        ("/V1/Account/{id}/jwt/token", "/v1/Account/{id}/JWT/Token/"),
    ],
)
async def test_a_path_that_is_nearly_right(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, meant: str
) -> None:
    """The 404 names the right one."""
    status, answer = await ask(api, sandbox, "GET", path)
    assert (404, "not found") == (status, answer["error"])
    assert answer["hint"].endswith(f"did you mean {meant.format(id=sandbox.auth_id)}?")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", LIST + "12345678901234/", 404),
        ("GET", "/v1/Account/{id}/Call/", 404),
        ("GET", "/v1/", 404),
        ("POST", LIST, 400),
    ],
)
async def test_no_hint(
    sandbox: Sandbox, api: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """What Plivo itself would respond is sent as it is."""
    answered, answer = await ask(api, sandbox, method, path)
    assert (status, {"api_id", "error"}) == (answered, set(answer))


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("PUT", LIST + "1/", "this path allows DELETE, GET, POST; Plivo has neither PUT nor PATCH"),
        ("PATCH", LIST + "1/", "this path allows DELETE, GET, POST; Plivo has neither PUT nor PATCH"),
        ("DELETE", LIST, "this path allows GET, POST"),
        ("GET", "/v1/Account/{id}/JWT/Token/", "this path allows POST"),
    ],
)
async def test_another_method(
    sandbox: Sandbox, api: aiohttp.ClientSession, method: str, path: str, hint: str
) -> None:
    """The 405 names the methods of the path."""
    status, answer = await ask(api, sandbox, method, path)
    assert (405, "method not allowed", hint) == (status, answer["error"], answer["hint"])


async def test_another_account(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """With valid credentials, the 401 says that the path is the problem; a stranger is not told."""
    path = "/v1/Account/MA000000000000000000/Endpoint/"
    status, answer = await ask(api, sandbox, "GET", path)
    assert (401, True) == (status, "not for the account in the path" in answer["hint"])
    async with api.get(path, headers={"Authorization": ""}) as response:
        assert (401, ["error"]) == (response.status, list(await response.json()))


async def test_a_closed_control_path(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The 404 says how to enable it, whatever the method."""
    for method in ("GET", "POST", "DELETE"):
        status, answer = await ask(api, sandbox, method, "/_sandbox/faults")
        assert (404, True) == (status, "--control" in answer["hint"])


async def test_a_long_path(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """Little of it is repeated."""
    _, answer = await ask(api, sandbox, "GET", "/v1/Account/{id}/Endpoint/" + "9" * 5000)
    assert len(answer["hint"]) < 300

"""Requests that no client should send: never a 500, always an answer."""

import asyncio
import gzip
import io

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox

BODIES = {
    "nothing": b"",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "deep permissions": b'{"per":' * 300 + b"1" + b"}" * 300,
    "bad utf-8": b'{"username": "\xff\xfe"}',
    "utf-16": '{"username": "alice"}'.encode("utf-16"),
    "truncated": b'{"username": "al',
    "nan": b'{"username": NaN, "nbf": NaN}',
    "infinite": b'{"nbf": 1e999, "exp": -1e999}',
    "long number": b'{"nbf": ' + b"9" * 5000 + b"}",
    "list": b"[]",
    "text": b'"text"',
    "null": b"null",
    "surrogate": b'{"username": "\\ud800", "password": "\\ud800aaaaaa", "alias": "\\udfff"}',
    "nul": b'{"username": "a\\u0000", "password": "\\u0000\\u0000\\u0000\\u0000\\u0000", "alias": 0}',
    "form": b"username=alice&password=s3cret",
}


@pytest.mark.parametrize("path", ["Endpoint/", "Endpoint/{id}/", "JWT/Token/"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_makes_no_sense(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str, body: bytes
) -> None:
    """Whatever is not an acceptable object is a 400 in JSON."""
    sandbox.seed(1)
    path = path.format(id=next(iter(sandbox.endpoints)))
    async with api.post(path, data=body) as response:
        assert (400, {"api_id", "error"}) == (response.status, set(await response.json()))
    assert len(sandbox.requests) == len(sandbox.endpoints) == 1


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_that_is_too_large(api: aiohttp.ClientSession, encoding: str) -> None:
    """Above 1 MiB, unpacked, the answer is 413."""
    body = b"x" * (2**20 + 1)
    sent = body if encoding == "identity" else gzip.compress(body)
    async with api.post(
        "Endpoint/", data=io.BytesIO(sent), headers={"Content-Encoding": encoding}
    ) as response:
        assert (413, {"api_id", "error"}) == (response.status, set(await response.json()))


@pytest.mark.parametrize(
    "target",
    [
        "//",
        "/v1/Account/%zz/Endpoint/",
        "/v1/Account/{auth_id}/Endpoint/%/",
        "/v1/Account/{auth_id}/Endpoint/%ff%fe/",
        "/v1/Account/{auth_id}/Endpoint/%00/",
        "/v1/Account/{auth_id}/Endpoint/%2e%2e/",
        "/v1/Account/{auth_id}/Endpoint/../../../",
        "/v1/Account/{auth_id}/Endpoint/?limit=%ff&offset=%zz",
        "/v1/Account/{auth_id}/Endpoint/?limit=1&limit=2&&&==",
        "/v1/Account/{auth_id}/Endpoint/1;2/",
        "/v1/Account/{auth_id}/Endpoint/" + "9" * 5000 + "/",
        "http://elsewhere.example/v1/Account/{auth_id}/Endpoint/",
    ],
)
async def test_a_target_that_makes_no_sense(
    sandbox: Sandbox, api: aiohttp.ClientSession, target: str
) -> None:
    """Every target has an answer below 500, in JSON."""
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    head = f"GET {target.format(auth_id=sandbox.auth_id)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Authorization: {api.headers['Authorization']}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    status, headers = int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[0].lower()
    assert 200 <= status < 500
    assert b"content-type: application/json" in headers

"""Requests that are no HTTP: nothing of them reaches a log, and nobody sees a traceback."""

import asyncio
import json
import logging
import random
import subprocess
import sys

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox

CANARY = "Q0FOQVJZLXNlY3JldA=="
HEAD = "Host: localhost\r\nConnection: close\r\n"
# Each is malformed in a way of its own.
REQUESTS = {
    "blank before the colon": f"GET /v1/ HTTP/1.1\r\n{HEAD}Authorization : Basic {CANARY}\r\n\r\n",
    "no colon": f"GET /v1/ HTTP/1.1\r\n{HEAD}Authorization Basic {CANARY}\r\n\r\n",
    "folded": f"GET /v1/ HTTP/1.1\r\n{HEAD}X: y\r\n Authorization: Basic {CANARY}\r\n\r\n",
    "line feeds only": f"GET /v1/ HTTP/1.1\nAuthorization: Basic {CANARY}\x00\n\n",
    "method": f"Basic {CANARY}\r\n\r\n",
    "version": f"GET /{CANARY} HTTP/9.9\r\n\r\n",
    "target": f"GET http://[::1{CANARY}/ HTTP/1.1\r\n{HEAD}\r\n",
    "tunnel": f"CONNECT {CANARY}:x HTTP/1.1\r\n{HEAD}\r\n",
    "bytes in a host": f"GET //\xff{CANARY}:1/ HTTP/1.1\r\n{HEAD}\r\n",
    "long line": f"GET /v1/ HTTP/1.1\r\nAuthorization: Basic {CANARY * 1000}\r\n\r\n",
    "chunks": f"POST /v1/ HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nzz{CANARY}\r\n\r\n",
    "lengths": f"POST /v1/ HTTP/1.1\r\n{HEAD}Content-Length: 1\r\nContent-Length: {CANARY}\r\n\r\n",
    "deflated": (
        f"POST /_sandbox/faults HTTP/1.1\r\n{HEAD}AUTHORIZED"
        f"Content-Encoding: deflate\r\nContent-Length: 20\r\n\r\n{CANARY}"
    ),
}


async def send(base_url: str, request: bytes) -> bytes:
    """Send bytes and return what is answered until the connection ends or goes silent."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer


def authorized(sandbox: Sandbox, request: str) -> bytes:
    """Fill in credentials."""
    header = f"Authorization: {aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}\r\n"
    return request.replace("AUTHORIZED", header).encode("latin-1")


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=REQUESTS.keys())
async def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture, request_text: str) -> None:
    """It is answered with an error, and the log says no more than that it came."""
    caplog.set_level(logging.INFO)
    async with Sandbox(control=True) as sandbox:
        answer = await send(sandbox.base_url, authorized(sandbox, request_text))
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert {"refused a malformed request"} >= {record.getMessage() for record in caplog.records}
    assert [] == [record for record in caplog.records if record.exc_info]
    assert CANARY not in caplog.text


def mutated(chance: random.Random, request: bytes) -> bytes:
    """Damage a request in one to three places."""
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(request))
        added = chance.choice(
            [b"\x00", b"\r", b"\n", b" ", b":", b"\xff", b"\r\n ", b"\r\n\r\n", b"//", b"%", b""]
        )
        request = request[:place] + added + request[place + chance.randrange(3) :]
    return request


@pytest.mark.slow
async def test_a_thousand_damaged_requests(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with them, no credential and no traceback is logged, and the sandbox works on."""
    caplog.set_level(logging.INFO)
    chance = random.Random(7)  # noqa: S311 - the same requests in every run
    async with Sandbox(control=True) as sandbox:
        host, port = sandbox.base_url.removeprefix("http://").split(":")
        credentials = aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)
        body = f'{{"username": "{CANARY}"}}'
        whole = (
            f"POST /v1/Account/{sandbox.auth_id}/Endpoint/ HTTP/1.1\r\n{HEAD}Authorization: {credentials}\r\n"
            f"X: {CANARY}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for _ in range(1000):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(mutated(chance, whole))
            writer.write_eof()  # and leave, half-way where the damage hides the end
            writer.close()
            await writer.wait_closed()
        answer = await send(sandbox.base_url, whole)
    assert b'"error": {"username": ["must be 1 to 25 letters' in answer
    assert [] == [record.getMessage() for record in caplog.records if record.exc_info]
    assert {"refused a malformed request"} == {record.getMessage() for record in caplog.records}
    assert [False, False] == [secret in caplog.text for secret in (CANARY, credentials.split()[1])]


@pytest.mark.slow
@pytest.mark.parametrize(("quiet", "logged"), [((), ["refused a malformed request"]), (("--quiet",), [])])
async def test_what_the_command_prints(quiet: tuple[str, ...], logged: list[str]) -> None:
    """One line on standard error; none with `--quiet`."""
    command = [sys.executable, "-m", "plivo_endpoints", "sandbox", "--json", *quiet]
    process = subprocess.Popen(  # noqa: ASYNC220, S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        base_url = json.loads(await asyncio.to_thread(process.stdout.readline))["PLIVO_BASE_URL"]
        answer = await send(base_url, REQUESTS["blank before the colon"].encode())
    finally:
        process.terminate()
        _, printed = await asyncio.to_thread(process.communicate, timeout=30)
    assert (answer.split(b" ")[1], logged) == (b"400", printed.splitlines())

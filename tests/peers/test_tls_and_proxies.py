"""TLS that verifies, and a proxy on the way: the credentials go to nobody else."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from plivo_endpoints import APIError, AsyncClient, ConnectError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plivo_endpoints.sandbox import Sandbox

AUTH_ID, TOKEN = "MA0123456789ABCDEFGH", "canary-token"
PAGE = (
    b'{"objects": [], "meta": {"limit": 20, "offset": 0, "next": null, "previous": null, "total_count": 0}}'
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)


class Listener:
    """A raw server that answers every request alike and keeps what it read."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heard = bytearray()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer whatever comes up to an empty line."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heard += head
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    answer: bytes = OK, certificate: trustme.LeafCert | None = None
) -> AsyncGenerator[Listener]:
    """Run a listener on loopback, with TLS where it has a certificate."""
    listener, context = Listener(answer), None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
    async with await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context) as server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener


async def test_an_own_context_is_used() -> None:
    """A certificate from a private authority works where its context is passed."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        listening(certificate=authority.issue_cert("127.0.0.1")) as listener,
        AsyncClient(
            AUTH_ID, TOKEN, base_url=f"https://127.0.0.1:{listener.port}", ssl_context=context
        ) as client,
    ):
        assert () == (await client.endpoints.list_page()).objects
    assert b"Authorization: Basic" in listener.heard


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example"])
async def test_nothing_is_sent_before_the_certificate_is_verified(name: str) -> None:
    """From an unknown authority, or for another name: refused, and the server has heard nothing."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    if name != "127.0.0.1":
        authority.configure_trust(context)
    async with (
        listening(certificate=authority.issue_cert(name)) as listener,
        AsyncClient(
            AUTH_ID, TOKEN, base_url=f"https://127.0.0.1:{listener.port}", ssl_context=context
        ) as client,
    ):
        with pytest.raises(ConnectError) as refused:
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert ("no", b"") == (refused.value.sent, bytes(listener.heard))


async def test_a_proxy_is_used_where_it_is_named() -> None:
    """It gets the whole URL, and its own credentials in its own header."""
    async with (
        listening() as proxy,
        AsyncClient(
            AUTH_ID,
            TOKEN,
            base_url="http://127.0.0.1:1",
            proxy=f"http://user:proxy-secret@127.0.0.1:{proxy.port}",
        ) as client,
    ):
        assert () == (await client.endpoints.list_page()).objects
        assert "proxy-secret" not in repr(vars(client))
    assert proxy.heard.startswith(f"GET http://127.0.0.1:1/v1/Account/{AUTH_ID}/Endpoint/".encode())
    assert b"Proxy-Authorization: Basic " in proxy.heard


async def test_a_proxy_that_refuses() -> None:
    """The request never left, and the error says who refused."""
    async with (
        listening(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy,
        AsyncClient(
            AUTH_ID, TOKEN, base_url="https://plivo.invalid", proxy=f"http://127.0.0.1:{proxy.port}"
        ) as client,
    ):
        with pytest.raises(ConnectError, match="the proxy answered 403"):
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert TOKEN.encode() not in proxy.heard


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """Neither the credentials nor a SIP password go where an answer points."""
    async with listening() as elsewhere:
        target = f"http://127.0.0.1:{elsewhere.port}/"
        answer = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        async with (
            listening(answer) as listener,
            AsyncClient(AUTH_ID, TOKEN, base_url=f"http://127.0.0.1:{listener.port}") as client,
        ):
            # 303 says that the create was done, and where its result could be read.
            with pytest.raises(OutcomeUnknownError if status == 303 else APIError) as moved:
                await client.endpoints.create(username="alice", password="s3cret", alias="a")
            with pytest.raises(APIError):
                await client.endpoints.get("1")
    assert isinstance(moved.value, OutcomeUnknownError | APIError)
    assert (status, b"") == (moved.value.status, bytes(elsewhere.heard))


async def test_the_sandbox_over_localhost(sandbox: Sandbox) -> None:
    """A name instead of an address is looked up."""
    url = sandbox.base_url.replace("127.0.0.1", "localhost")
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=url) as client:
        assert () == (await client.endpoints.list_page()).objects

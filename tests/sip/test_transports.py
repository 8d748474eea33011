"""SIP over UDP, TCP and WebSocket, over loopback: what arrives, what is bounded, and how it ends."""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox
from plivo_endpoints.sandbox._sip._listeners import RetransmissionCache
from plivo_endpoints.sandbox._sip._message import MAX_MESSAGE
from plivo_endpoints.sandbox._sip._registrar import Registrar
from tests.sip.phones import DOMAIN, SOURCE, Phone, digest, read_answer, seeded

if TYPE_CHECKING:
    from aiohttp.client import _WSRequestContextManager

PING = b"\r\n\r\n"


@pytest.fixture
async def served() -> AsyncIterator[Sandbox]:
    """Serve an account with one endpoint."""
    async with Sandbox(endpoints=1, sip=True) as sandbox:
        yield sandbox


def requests(sandbox: Sandbox) -> Phone:
    """Return a phone that makes requests; a test sends them."""
    return Phone(registrar=Registrar(sandbox._directory), user=seeded(sandbox).username)


async def receive(reader: asyncio.StreamReader) -> bytes:
    """Return the next response of a stream."""
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\r\n\r\n")


async def test_tcp(served: Sandbox) -> None:
    """Messages in pieces and several at once are answered in order, keep-alives too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    phone = requests(served)
    first, second = phone.request(method="OPTIONS"), phone.request(method="OPTIONS")
    writer.write(PING + first[:50])
    assert b"\r\n" == await reader.readexactly(2)
    writer.write(first[50:] + second)
    answers = [read_answer(await receive(reader)) for _ in range(2)]
    assert [(200, "1 OPTIONS"), (200, "2 OPTIONS")] == [(each.status, each.first("CSeq")) for each in answers]
    writer.close()


async def test_a_login_over_tcp(served: Sandbox) -> None:
    """The registration shows where it came from."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    phone = requests(served)
    writer.write(phone.request())
    challenge = read_answer(await receive(reader)).first("WWW-Authenticate")
    authorization = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}")
    writer.write(phone.request(f"Authorization: {authorization}", f"Contact: <{phone.contact}>"))
    assert 200 == read_answer(await receive(reader)).status
    host, port = writer.get_extra_info("sockname")
    found = seeded(served).registration
    assert found is not None
    assert f"{host}:{port} (TCP)" == found.source
    writer.close()


@contextlib.contextmanager
def udp(port: int) -> Generator[socket.socket]:
    """Open a socket that sends to a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        yield client


def test_udp_from_a_thread() -> None:
    """It works in a `with` block too; what is repeated is answered as before, and counts once."""
    with Sandbox(endpoints=1, sip=True) as sandbox, udp(sandbox.sip_port) as client:
        phone = requests(sandbox)
        client.send(phone.request())
        challenge = read_answer(client.recv(9999)).first("WWW-Authenticate")
        authorization = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}")
        message = phone.request(f"Authorization: {authorization}", f"Contact: <{phone.contact}>")
        answers = set[bytes]()
        for _ in range(3):
            client.send(message)
            answers.add(client.recv(9999))
        assert [200] == [read_answer(each).status for each in answers]
        assert f"rport={client.getsockname()[1]}" in read_answer(answers.pop()).first("Via")
        assert seeded(sandbox).sip_registered


def test_a_repeated_datagram(account: Sandbox, phone: Phone) -> None:
    """The same bytes from the same place get the same answer for 32 seconds; from elsewhere they are new."""
    answers = RetransmissionCache(phone.registrar)
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    login = phone.request(f"Authorization: {authorization}", f"Contact: <{phone.contact}>")
    elsewhere = Phone(registrar=phone.registrar, user="x", source=SOURCE).source
    found = [answers.answer(login, SOURCE, now) for now in (0, 31.9)]
    assert found[0] == found[1]
    account.unregister(seeded(account).endpoint_id)
    assert found[0] == answers.answer(login, elsewhere, 31.9)
    replayed = answers.answer(login, SOURCE, 32)
    assert replayed is not None
    assert 401 == read_answer(replayed).status
    assert not seeded(account).sip_registered


def test_repeated_datagrams_have_an_end(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many answers are kept."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._listeners.MAX_ANSWERS", 10)
    answers = RetransmissionCache(phone.registrar)
    for _ in range(100):
        answers.answer(phone.request(), SOURCE, 0)
    assert 10 == len(answers._answers)


def connect(session: aiohttp.ClientSession, sandbox: Sandbox) -> "_WSRequestContextManager":
    """Open a WebSocket as a page of another site does."""
    headers = {"Origin": "https://app.example"}
    return session.ws_connect(sandbox.signalling_url, protocols=["sip"], headers=headers)


async def receive_text(client: "aiohttp.ClientWebSocketResponse[bool]") -> bytes:
    """Return the next response of a WebSocket."""
    message = await client.receive(timeout=10)
    assert aiohttp.WSMsgType.TEXT == message.type
    text: str = message.data
    return text.encode()


async def test_websocket(served: Sandbox) -> None:
    """Text is answered by text, bytes by bytes, keep-alives by keep-alives; it is not among the requests."""
    phone = requests(served)
    async with aiohttp.ClientSession() as session, connect(session, served) as client:
        assert "sip" == client.protocol
        await client.send_str(phone.request(method="OPTIONS").decode())
        assert 200 == read_answer(await receive_text(client)).status
        await client.send_bytes(phone.request(method="OPTIONS").replace(b"alice", b"\xff"))
        assert 200 == read_answer(await client.receive_bytes(timeout=10)).status
        await client.send_str("\r\n\r\n")
        assert "\r\n" == await client.receive_str(timeout=10)
    assert () == served.requests


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "chat"}, 400),
        ({"Sec-WebSocket-Protocol": "sip"}, 400),
        ({"Host": "evil.example", "Sec-WebSocket-Protocol": "sip"}, 403),
    ],
)
async def test_what_is_no_websocket(served: Sandbox, headers: dict[str, str], status: int) -> None:
    """Another subprotocol, plain HTTP, and a rebound name are refused."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{served.base_url}/signalling", headers=headers) as answer,
    ):
        assert status == answer.status


async def test_too_long(served: Sandbox) -> None:
    """A message of more than 16 KiB closes the connection; a datagram is ignored."""
    phone = requests(served)
    long = phone.request(f"X-Long: {'x' * MAX_MESSAGE}", method="OPTIONS")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    writer.write(long)
    with contextlib.suppress(ConnectionError):
        assert b"" == await reader.read()
    writer.close()
    async with aiohttp.ClientSession() as session, connect(session, served) as client:
        await client.send_str(long.decode())
        message = await client.receive(timeout=10)
        assert (aiohttp.WSMsgType.CLOSE, 1009) == (message.type, message.data)
    with udp(served.sip_port) as datagrams:
        datagrams.send(long)
        datagrams.send(phone.request(method="OPTIONS"))
        answer = await asyncio.to_thread(datagrams.recv, 9999)
        assert f"{phone.sequence} OPTIONS" == read_answer(answer).first("CSeq")


async def test_half_a_message(served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that leaves a message half sent is closed; a silent one is not."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._listeners.HALF_RECEIVED_SECONDS", 0.01)
    silent_reader, silent = await asyncio.open_connection("127.0.0.1", served.sip_port)
    silent.write(b"\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    writer.write(requests(served).request(method="OPTIONS")[:-2])
    with contextlib.suppress(ConnectionError):
        assert b"" == await reader.read()
    silent.write(requests(served).request(method="OPTIONS"))
    assert 200 == read_answer(await receive(silent_reader)).status
    for each in (silent, writer):
        each.close()


async def test_too_many_connections(served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that was silent for the longest time makes room; WebSockets wait for room."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._listeners.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._websocket.MAX_SOCKETS", 1)
    pairs: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for _ in range(3):
        pairs.append(await asyncio.open_connection("127.0.0.1", served.sip_port))
        pairs[0][1].write(PING)
        assert b"\r\n" == await pairs[0][0].readexactly(2)
    with contextlib.suppress(ConnectionError):
        assert b"" == await pairs[1][0].read()
    pairs[2][1].write(PING)
    assert b"\r\n" == await pairs[2][0].readexactly(2)
    for _, writer in pairs:
        writer.close()
    async with aiohttp.ClientSession() as session:
        async with connect(session, served):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await connect(session, served)
        async with connect(session, served):
            pass


@pytest.mark.slow
async def test_a_client_that_does_not_read(served: Sandbox) -> None:
    """It is not read from either, so that answers do not pile up; others are served."""
    phone = requests(served)
    _, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    flood = phone.request(method="OPTIONS") * 200
    with pytest.raises(TimeoutError):
        for _ in range(2_000):  # until the buffers in between are full
            writer.write(flood)
            async with asyncio.timeout(1):
                await writer.drain()
    reader, other = await asyncio.open_connection("127.0.0.1", served.sip_port)
    other.write(PING)
    assert b"\r\n" == await reader.readexactly(2)
    writer.transport.abort()
    other.close()


async def test_it_stops_with_the_sandbox() -> None:
    """Every connection is closed, the port is free, and no thread or task is left."""
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    session = aiohttp.ClientSession()
    async with Sandbox(sip=True) as sandbox:
        port = sandbox.sip_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = await connect(session, sandbox)
        writer.write(PING)
        await reader.readexactly(2)
        receiving = asyncio.create_task(client.receive(timeout=10))
    assert (aiohttp.WSMsgType.CLOSE, 1001) == ((await receiving).type, client.close_code)
    with contextlib.suppress(ConnectionError):
        assert b"" == await reader.read()
    writer.close()
    await session.close()
    assert (tasks, threads) == (len(asyncio.all_tasks()), threading.active_count())
    with pytest.raises(RuntimeError, match="SIP is not running"):
        _ = sandbox.sip_port
    async with Sandbox(sip=True, sip_port=port) as again:
        assert port == again.sip_port


async def test_without_sip(sandbox: Sandbox) -> None:
    """There is nothing to connect to, and a port makes no sense."""
    for name in ("sip_port", "signalling_url"):
        with pytest.raises(RuntimeError, match="sip=True"):
            getattr(sandbox, name)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox.base_url}/signalling") as answer,
    ):
        assert 404 == answer.status
    with pytest.raises(ValueError, match="sip_port needs sip=True"):
        Sandbox(sip_port=5060)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken(kind: socket.SocketKind) -> None:
    """By UDP or TCP: the error is raised where the block begins, and nothing stays behind."""
    before = threading.active_count()
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="ddress already in use"):
            Sandbox(sip=True, sip_port=port).__enter__()
    assert before == threading.active_count()


async def test_nothing_secret_is_logged(served: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Who registered is logged; no password, digest or token is, whatever comes."""
    caplog.set_level(logging.DEBUG)
    phone = requests(served)
    async with aiohttp.ClientSession() as session, connect(session, served) as client:
        await client.send_str(phone.request().decode())
        challenge = read_answer(await receive_text(client)).first("WWW-Authenticate")
        authorization = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}")
        for field in (f"Authorization: {authorization}", "X-Plivo-Jwt: c2VjcmV0.c2VjcmV0.c2VjcmV0", "secret"):
            await client.send_str(phone.request(field, f"Contact: <{phone.contact}>").decode())
            await client.receive_str(timeout=10)
    assert f"{phone.user} registered by 127.0.0.1" in caplog.text
    secrets = ("password-1", digest_of(authorization), "c2VjcmV0", "secret", seeded(served).ha1 or "")
    assert [] == [each for each in secrets if each in caplog.text]
    assert (seeded(served).ha1 or "") not in repr(seeded(served))


def digest_of(authorization: str) -> str:
    """Return the part of an Authorization field that a password makes."""
    return authorization.split('response="')[1][:32]


async def test_pipelined_messages_are_no_half_message(
    served: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for the rest of a message starts anew with each message that is complete."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._listeners.HALF_RECEIVED_SECONDS", 0.5)
    phone = requests(served)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    begun = asyncio.get_running_loop().time()
    rest = b""
    while asyncio.get_running_loop().time() < begun + 1:
        message = phone.request(method="OPTIONS")
        writer.write(rest + message[:20])
        rest = message[20:]
        await asyncio.sleep(0.05)
    writer.write(rest)
    for _ in range(10):
        assert 200 == read_answer(await receive(reader)).status
    writer.close()


@pytest.mark.parametrize("turns", range(1, 7))
async def test_a_stop_that_is_cancelled(turns: int) -> None:
    """Nothing listens afterwards, neither for HTTP nor for SIP."""
    sandbox = Sandbox(sip=True)
    await sandbox.__aenter__()
    address, port = sandbox.base_url, sandbox.sip_port
    stopping = asyncio.create_task(sandbox.__aexit__())
    for _ in range(turns):
        await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping})
    for each in (int(address.rpartition(":")[2]), port):
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", each)


@pytest.mark.parametrize("ports", [{"port": 70_000}, {"port": -1}, {"sip_port": 70_000, "sip": True}])
def test_ports_that_cannot_be(ports: dict[str, Any]) -> None:
    """They are refused by name."""
    with pytest.raises(ValueError, match="must be from 0 to 65535"):
        Sandbox(**ports)

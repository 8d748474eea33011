"""Phones and tools from Debian, baresip and sipsak; skipped where they are not installed."""

import asyncio
import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plivo_endpoints.sandbox import Sandbox
from tests.sip.phones import seeded

BARESIP, SIPSAK = shutil.which("baresip"), shutil.which("sipsak")

pytestmark = pytest.mark.slow

needs_baresip = pytest.mark.skipif(BARESIP is None, reason="NEEDS baresip: no phone was tested")
needs_sipsak = pytest.mark.skipif(SIPSAK is None, reason="NEEDS sipsak: it was not tested")

# Debian's place for them; a path without them is an error of baresip.
MODULES = next(Path("/usr/lib").glob("**/baresip/modules"), Path("/usr/lib/baresip/modules"))
CONFIG = f"""
sip_listen 127.0.0.1:0
module_path {MODULES}
module_app account.so
module_app menu.so
"""


@asynccontextmanager
async def baresip(folder: Path, account: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run baresip with one account until the block exits, which tells it to unregister."""
    (folder / "config").write_text(CONFIG)
    (folder / "accounts").write_text(account)
    (folder / "contacts").touch()
    process = await asyncio.create_subprocess_exec(
        str(BARESIP),
        *("-f", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.communicate()


async def until(process: asyncio.subprocess.Process, said: bytes) -> None:
    """Read what a program prints until it says something."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while line := await process.stdout.readline():
            if said in line:
                return
    pytest.fail(f"it never said {said!r}")


def account_line(sandbox: Sandbox, password: str, transport: str) -> str:
    """Return an account of baresip's, as docs/guides/sandbox.md shows it."""
    proxy = f"sip:127.0.0.1:{sandbox.sip_port};transport={transport}"
    user = seeded(sandbox).username
    return f'<sip:{user}@phone.plivo.com;transport={transport}>;auth_pass={password};outbound="{proxy}"\n'


@needs_baresip
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip(tmp_path: Path, transport: str) -> None:
    """It registers, says so itself, and unregisters when it ends."""
    async with Sandbox(endpoints=1, sip=True) as sandbox:
        async with baresip(tmp_path, account_line(sandbox, "password-1", transport)) as process:
            await until(process, b"200 OK (plivo-endpoints sandbox) [1 binding]")
            found = seeded(sandbox).registration
        assert found is not None
        assert found.contact.startswith(f"sip:{seeded(sandbox).username}")
        assert found.user_agent.startswith("baresip")
        assert f"({transport.upper()})" in (found.source or "")
        assert not seeded(sandbox).sip_registered


@needs_baresip
async def test_baresip_with_a_wrong_password(tmp_path: Path) -> None:
    """It is refused, and gives up until its next turn."""
    async with Sandbox(endpoints=1, sip=True) as sandbox:
        async with baresip(tmp_path, account_line(sandbox, "password-2", "udp")) as process:
            await until(process, b"401 Unauthorized (plivo-endpoints sandbox)")
        assert not seeded(sandbox).sip_registered


def short_port() -> int:
    """Return a free port of four digits: sipsak cuts the fifth."""
    for port in range(6100, 9999):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port of four digits is free")


async def sipsak(*arguments: str) -> int | None:
    """Run sipsak and return its exit status."""
    process = await asyncio.create_subprocess_exec(
        str(SIPSAK),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(40):
        await process.communicate()
    return process.returncode


@needs_sipsak
async def test_sipsak() -> None:
    """It registers with the right password only; OPTIONS finds the server, and no such user."""
    async with Sandbox(endpoints=1, sip=True, sip_port=short_port()) as sandbox:
        server, user = f"127.0.0.1:{sandbox.sip_port}", seeded(sandbox).username
        register = ("-i", "-U", "-x", "60", "-u", user, "-s", f"sip:{user}@{server}")
        await sipsak(*register, "-a", "password-2")
        assert not seeded(sandbox).sip_registered
        assert 0 == await sipsak(*register, "-a", "password-1")
        found = seeded(sandbox).registration
        assert found is not None
        assert found.user_agent.startswith("sipsak")
        assert [0, 1] == [await sipsak("-s", f"sip:{server}"), await sipsak("-s", f"sip:admin@{server}")]

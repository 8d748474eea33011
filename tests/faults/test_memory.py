"""No answer, however large, takes more memory than the limit on its size suggests."""

from __future__ import annotations

import json
import subprocess
import sys
from gzip import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.account import SEED, Step
from tests.faults.kinds import HONEST, Fault, Play, instead
from tests.faults.wire import Answer, Wire, make_answer

if TYPE_CHECKING:
    from tests.faults.server import FaultServer

pytestmark = pytest.mark.slow

_SIZE: Final = 300_000_000
_PIECE: Final = b" " * 1_000_000

PROGRAM: Final = """
import asyncio, json, re, sys
from plivo_endpoints import AsyncClient, PlivoError

def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024

async def main(url, endpoint_id):
    async with AsyncClient("MAFAULTFAULTFAULT000", "t", base_url=url, max_attempts=1) as client:
        await client.endpoints.get(endpoint_id)
        before, errors = peak(), []
        for _ in range(3):
            try:
                await client.endpoints.get(endpoint_id)
            except PlivoError as error:
                errors.append(type(error).__name__)
        print(json.dumps([peak() - before, errors]))

asyncio.run(main(*sys.argv[1:]))
"""


def _huge(head: bytes, status: int = 200) -> Play:
    async def play(wire: Wire, _answer: Answer) -> None:
        await wire.send(b"HTTP/1.1 %d OK\r\n%s\r\n" % (status, head))
        for _ in range(_SIZE // len(_PIECE)):
            chunk = b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE) if b"chunked" in head else _PIECE
            await wire.send(chunk)
        await wire.fin()

    return play


_LENGTH: Final = b"Content-Length: %d\r\n" % _SIZE
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
HUGE: Final[dict[str, Play]] = {
    "300 MB with their length": _huge(_LENGTH),
    "300 MB in chunks": _huge(_CHUNKED),
    "300 MB of an error": _huge(_LENGTH, 404),
    "300 MB and no length": _huge(b"Connection: close\r\n"),
    "300 MB in one header": _huge(b"X: "),
}
_BOMB: Final = compress(b"[" * _SIZE, 1)


def _measure(play: Play, server: FaultServer) -> tuple[int, list[str]]:
    account, url = server.account()
    account.play([Step(HONEST, applied=True)])
    account.forever = Step(Fault("huge", play), applied=True)
    command = [sys.executable, "-c", PROGRAM, url, SEED]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    grown, errors = json.loads(ended.stdout)
    return grown, errors


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("kind", [*HUGE, "gzip bomb"])
def test_a_huge_answer(kind: str, faults: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Read as far as allowed and dropped: the process grows by 10 MB at most."""
    bomb = instead(make_answer(200, "OK", _BOMB, Content_Encoding="gzip"))
    grown, errors = _measure(HUGE.get(kind, bomb), faults)
    with capsys.disabled():
        print(f"\n{kind}: {grown / 1e6:.1f} MB")  # noqa: T201
    assert len(errors) == 3
    assert grown <= 10_000_000

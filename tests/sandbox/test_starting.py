"""A sandbox that cannot start says why, at once."""

import subprocess
import sys
import threading

import pytest

from plivo_endpoints.sandbox import Sandbox


def run(program: str) -> str:
    """Run a program on its own and return what it printed."""
    # What CPython itself leaves of a loop that could not be made is no concern here.
    command = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout


# What pytest-socket does under `--disable-socket`.
DISABLED = """
import socket
from plivo_endpoints.sandbox import Sandbox

class Disabled(socket.socket):
    def __new__(cls, *args, **kwargs):
        raise RuntimeError("sockets are disabled")

socket.socket = Disabled
try:
    with Sandbox():
        print("runs")
except RuntimeError as error:
    print(error)
"""


def test_sockets_that_are_disabled() -> None:
    """What keeps the thread's loop from starting is raised where the block begins."""
    assert "sockets are disabled\n" == run(DISABLED)


EXHAUSTED = """
import asyncio, errno, os, resource
from plivo_endpoints.sandbox import Sandbox

async def serve():
    async with Sandbox():
        pass

def attempt(start):
    try:
        start()
    except OSError as error:
        return error.errno == errno.EMFILE
    return True

def serve_from_thread():
    with Sandbox():
        pass

with Sandbox():  # what is imported late needs descriptors too
    pass
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
lowest = os.open(os.devnull, os.O_RDONLY)
for spare in range(1, 15):
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    print(attempt(serve_from_thread), attempt(lambda: asyncio.run(serve())))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_no_descriptors_left() -> None:
    """However few there are, it works or raises the system's own error."""
    assert ["True True"] * 14 == run(EXHAUSTED).splitlines()


def test_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a thread that cannot start is raised; afterwards the sandbox starts all the same."""

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sandbox = Sandbox()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"), sandbox:
            pass
    with sandbox:
        assert sandbox.base_url

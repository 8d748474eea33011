"""A sandbox in a thread, and the command run against it: in this process, in its own, and on a terminal."""

import errno
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from plivo_endpoints.cli.main import cli
from plivo_endpoints.sandbox import Sandbox

# A shell gives a program its terminal; here the program takes it, or Ctrl-C would not reach it.
ON_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("plivo_endpoints", run_name="__main__")
"""


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, point_to: Callable[[Sandbox], None]) -> Iterator[Sandbox]:
    """Serve from a thread, with the environment pointing there."""
    with Sandbox() as running:
        point_to(running)
        monkeypatch.delenv("PLIVO_ENDPOINT_PASSWORD", raising=False)
        yield running


@pytest.fixture(params=["buffered", "unbuffered"])
def output_buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands meet a lost output at the end, when it is flushed, and at once, when it is written."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1" if request.param == "unbuffered" else "")


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command in this process; `stdin` is what it can read."""

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="plivo-endpoints")

    return invoke


@pytest.fixture
def on_terminal() -> Callable[..., str]:
    """Run a command in a process of its own on a terminal, and return all that appears there.

    `typed` is what a person types: lines, each once its prompt, which ends in a colon, has appeared.
    """

    def run(*arguments: str, columns: int = 80, typed: tuple[bytes, ...] = ()) -> str:
        ours, its = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment,
            start_new_session=True,
        ):
            os.close(its)
            seen, lines = b"", list(typed)
            while chunk := _read(ours):
                seen += chunk
                if lines and seen.endswith(b": "):
                    os.write(ours, lines.pop(0))
            os.close(ours)
        return seen.decode().replace("\r\n", "\n")

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError as error:
        if error.errno == errno.EIO:  # how Linux says that the other side is gone
            return b""
        raise

"""Programs of users, started as they start them, and watched from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.unmeasured import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from plivo_endpoints.sandbox import Sandbox

PROGRAMS: Final = Path(__file__).parent / "programs"
LIMIT: Final = 60.0  # seconds for whatever is waited for; then the program is killed and the test fails
_COMPLAINT: Final = re.compile(
    r"Traceback|Warning|Exception ignored|never awaited|[Uu]nclosed|was destroyed|Fatal|SIG(SEGV|ABRT|KILL)"
)
# Gunicorn leaves its listening sockets, which have no peer, to the end of the process; Celery dislikes root;
# Python warns of every fork beside a thread, so also where a client was used before it; gevent warns of
# what `gunicorn --preload` imports before it patches; Python 3.13 warns of how aiohttp's worker for gunicorn
# asks for the current loop.
_NOT_OURS: Final = re.compile(
    r"unclosed <socket\.socket [^>]*laddr=\([^)]*\)>|Enable tracemalloc|SecurityWarning: You're running"
    r"|is multi-threaded, use of fork\(\)|MonkeyPatchWarning|aiohttp/worker\.py"
)


class Answer(NamedTuple):
    """A service's answer."""

    status: int
    body: dict[str, Any]


class Service:
    """A program, with what it says in a file."""

    def __init__(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        output: Path,
        *,
        folder: Path = PROGRAMS,
    ) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_text(encoding="utf-8")

    def wait_for(self, pattern: str) -> str:
        """Wait until it says what matches, and return the first group."""
        until = time.monotonic() + LIMIT
        while (found := re.search(pattern, self.output)) is None:
            ended = self._process.poll() is not None
            assert not ended, f"it ended:\n{self.output}"
            assert time.monotonic() < until, f"it never said {pattern!r}:\n{self.output}"
            time.sleep(0.05)
        return found[1]

    def wait(self) -> int:
        """Wait until it has ended by itself, and return its status."""
        try:
            return self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.output}") from None

    def terminate(self) -> int:
        """End it as an init system would, and return its status."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """Leave nothing of it behind, its workers included."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def complaints(self) -> list[str]:
        """Return the lines of its output that no operator wants to read."""
        lines = self.output.splitlines()
        return [line for line in lines if _COMPLAINT.search(line) and not _NOT_OURS.search(line)]


def skip_without(*packages: str) -> None:
    """Skip the test if a package is missing, and say so loudly."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package.upper()} IS NOT INSTALLED: what it proves is not proved here")


def environment_of(sandbox: Sandbox, **others: str) -> dict[str, str]:
    """Return the environment of a program that uses a sandbox and shows every warning."""
    return {
        **unmeasured(),
        "PLIVO_BASE_URL": sandbox.base_url,
        "PLIVO_AUTH_ID": sandbox.auth_id,
        "PLIVO_AUTH_TOKEN": sandbox.auth_token,
        "PYTHONWARNINGS": "default",
        **others,
    }


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)


def wait_until_open(url: str) -> None:
    """Wait until a server accepts connections."""
    parts = urlsplit(url)

    def is_open() -> bool:
        with suppress(ConnectionRefusedError):
            socket.create_connection((parts.hostname, parts.port)).close()
            return True
        return False

    wait_until(is_open)


def post(url: str) -> Answer:
    """Post nothing to a URL on a connection of its own."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=LIMIT)
    try:
        connection.request("POST", parts.path)
        answer = connection.getresponse()
        return Answer(answer.status, json.loads(answer.read()))
    finally:
        connection.close()


def post_until(url: str, workers: int) -> list[Answer]:
    """Post to `url` with a number appended, ten at a time, until so many worker processes have answered."""
    answers: list[Answer] = []
    until = time.monotonic() + LIMIT
    with ThreadPoolExecutor(10) as pool:
        while len(pids_of(answers)) < workers:
            assert time.monotonic() < until, f"only {pids_of(answers)} answered"
            names = [f"{url}{len(answers) + number}" for number in range(10)]
            answers += pool.map(post, names)
    return answers


def pids_of(answers: list[Answer]) -> set[int]:
    """Return the ids of the processes that answered."""
    return {answer.body["pid"] for answer in answers}


@contextmanager
def launching(sandbox: Sandbox, home: Path) -> Generator[Callable[..., Service]]:
    """Give a function that starts `python` with some words, and the sandbox in its environment.

    What still runs is ended with the block.
    """
    started: list[Service] = []

    def start(*words: str, folder: Path = PROGRAMS, **environment: str) -> Service:
        variables = environment_of(sandbox, HOME=str(home), **environment)
        output = home / f"output-{len(started)}"
        service = Service((sys.executable, *words), variables, output, folder=folder)
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()
        sys.stdout.write(service.output)  # shown where the test failed

"""The Dockerfile's commands, run as Docker would run them, but on loopback and another port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from plivo_endpoints import Client

pytestmark = pytest.mark.slow

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text("utf-8")
CREDENTIALS = {"PLIVO_SANDBOX_AUTH_ID": "MA0123456789ABCDEFGH", "PLIVO_SANDBOX_AUTH_TOKEN": "t" * 40}


def commands(port: int) -> list[list[str]]:
    """Return the health check and the command, with the programs of this environment."""
    found = re.findall(r"^ *CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    script = str(Path(sys.executable).with_name("plivo-endpoints"))
    programs = {"python": sys.executable, "plivo-endpoints": script}
    parsed: list[list[str]] = [
        json.loads(each.replace("8080", str(port)).replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        for each in found
    ]
    return [[programs.get(part, part) for part in command] for command in parsed]


def test_the_container() -> None:
    """It is healthy once it serves, has the account that the environment names, and ends on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    health, serve = commands(port)
    environment = {**os.environ, **CREDENTIALS, "http_proxy": "http://127.0.0.1:9"}
    assert 0 != subprocess.run(health, env=environment, check=False, capture_output=True).returncode  # noqa: S603
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            exports = [process.stdout.readline().strip() for _ in range(3)]
            assert f"export PLIVO_BASE_URL=http://127.0.0.1:{port}" == exports[0]
            assert 0 == subprocess.run(health, env=environment, check=False).returncode  # noqa: S603
            with Client(*CREDENTIALS.values(), base_url=f"http://127.0.0.1:{port}") as client:
                assert 0 == client.endpoints.list_page().meta.total_count
        finally:
            process.send_signal(signal.SIGTERM)
    assert 0 == process.returncode


def test_the_port() -> None:
    """The Dockerfile names one port everywhere."""
    assert ["8080"] * 3 == re.findall(r"\b8080\b", DOCKERFILE)

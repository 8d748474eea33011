"""Peers that nobody here wrote: nginx in front of the sandbox, real TLS, a proxy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        {server}
        location / {{
            proxy_pass {upstream};
            {location}
        }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a real nginx before an upstream and return its base URL; end it with the test."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("NGINX IS NOT INSTALLED: what it proves is not proved here (apt-get install nginx-light)")
    started: list[subprocess.Popen[bytes]] = []

    def start(upstream: str, *, http: str = "", server: str = "", location: str = "") -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configuration = tmp_path / f"{port}.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=tmp_path, port=port, upstream=upstream, http=http, server=server, location=location
            )
        )
        process = subprocess.Popen([program, "-c", str(configuration), "-p", str(tmp_path)])  # noqa: S603
        started.append(process)
        _wait_until_it_listens(port)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return

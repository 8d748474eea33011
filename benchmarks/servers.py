"""Servers for the contenders, in their own processes and on their own core if there is one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.canned import CREATED, FOUND, PAGE, ROOT

if TYPE_CHECKING:
    from collections.abc import Generator

_NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_CONFIGURATION: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        location = {root} {{
            if ($request_method = POST) {{ return 201 '{created}'; }}
            try_files /page.json =404;
        }}
        location {root} {{ return 200 '{found}'; }}
    }}
}}
"""


def pin(process_id: int, core: int) -> None:
    """Pin a process (0: this one) to a core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(process_id))
        os.sched_setaffinity(process_id, {allowed[core % len(allowed)]})


@contextmanager
def canned_server() -> Generator[str]:
    """Run nginx, or the raw server if nginx is not installed, and yield its base URL."""
    if _NGINX is None:
        with raw_server() as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        _configure(Path(folder), port)
        command = [_NGINX, "-c", f"{folder}/nginx.conf", "-p", folder]
        with subprocess.Popen(command) as process:  # noqa: S603 - the nginx found above
            try:
                pin(process.pid, -1)
                _wait_until_it_listens(port)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _configure(folder: Path, port: int) -> None:
    (folder / "page.json").write_bytes(PAGE)
    configuration = _CONFIGURATION.format(
        folder=folder, port=port, root=ROOT, created=CREATED.decode(), found=FOUND.decode()
    )
    (folder / "nginx.conf").write_text(configuration)


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


@contextmanager
def raw_server(*, delay: float = 0.0, total: int = 100) -> Generator[str]:
    """Run the raw server and yield its base URL; each response is delayed by `delay` seconds."""
    command = [sys.executable, "-m", "benchmarks.raw_server", str(delay), str(total)]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            pin(process.pid, -1)
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def server_name() -> str:
    """Return the name of the server for calls without a delay."""
    return "raw asyncio server" if _NGINX is None else "nginx"

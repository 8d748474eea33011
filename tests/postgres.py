"""A PostgreSQL server of the tests' own, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

USER: Final = "owner"
PASSWORD: Final = "s3cret of the database"
_SETTINGS: Final = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
log_statement = all
max_connections = 60
shared_buffers = 16MB
"""


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs, or skip the test and say so loudly."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = [folder for folder in folders if (folder / "initdb").exists()]
    if not found:
        pytest.skip(
            "POSTGRESQL IS NOT INSTALLED: what it proves is not proved here (apt-get install postgresql)"
        )
    return found[-1]


class PostgresServer:
    """A server whose databases belong to one user, who needs a password; `log` has every statement."""

    def __init__(self, folder: Path) -> None:
        self._programs = find_programs()
        self._data = folder / "data"
        self.log: Path = folder / "log.txt"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._databases = 0

    @cached_property
    def _account(self) -> dict[str, Any]:
        # The server refuses to run as root; Debian's package creates a user for it.
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def _run(self, program: str, *arguments: str) -> None:
        # Not captured: the server would keep a pipe open.
        with (self._data.parent / "programs.txt").open("a") as output:
            command = [str(self._programs / program), *arguments]
            subprocess.run(  # noqa: S603
                command, check=True, stdout=output, stderr=output, cwd=self._data.parent, **self._account
            )

    def create(self) -> None:
        """Create its files."""
        folder = self._data.parent
        if self._account:
            shutil.chown(folder, "postgres")
        password = folder / "password.txt"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "--no-sync",
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            f"--pwfile={password}",
        )
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS.format(port=self.port))

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self.log))

    def stop(self, mode: str = "immediate") -> None:
        """Stop it, at once as after a crash, or in the mode `fast` or `smart`."""
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self._data))

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement as the owner, and return its rows."""
        import psycopg  # noqa: PLC0415 - an extra

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Create an empty database, and return its URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def running_server() -> Generator[PostgresServer]:
    """Run a server for the block."""
    pytest.importorskip("psycopg", reason="PSYCOPG IS NOT INSTALLED: what it proves is not proved here")
    with TemporaryDirectory(prefix="plivo-postgres-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()

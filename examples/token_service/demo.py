"""Serve the web site on the sandbox, with a user who can log in: `python demo.py`, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import users

from plivo_endpoints import Client
from plivo_endpoints.sandbox import Sandbox

HERE = Path(__file__).parent
NAME, PASSWORD = "alice", "open sesame"
PORT = sys.argv[1] if len(sys.argv) > 1 else "8440"


def add_user(sandbox: Sandbox, file: Path) -> None:
    """Create an endpoint in the sandbox, and a user who calls with it."""
    with Client(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
        made = client.endpoints.create(username=NAME, password=secrets.token_urlsafe(12), alias="front-desk")
    os.environ["USERS_FILE"] = str(file)
    users.add(NAME, made.username, PASSWORD)


def main() -> None:
    """Run two workers of uvicorn until a signal."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        add_user(sandbox, Path(folder, "users.json"))
        variables = {
            "PLIVO_AUTH_ID": sandbox.auth_id,
            "PLIVO_AUTH_TOKEN": sandbox.auth_token,
            "PLIVO_BASE_URL": sandbox.base_url,
            "PLIVO_RATE_LIMIT": str(Path(folder, "quota.db")),
            "SESSION_SECRET": secrets.token_hex(32),
            "COOKIES_OVER_HTTP": "1",
        }
        command = (sys.executable, "-m", "uvicorn", "app:app", "--workers", "2", "--port", PORT)
        print(f'Log in as "{NAME}" with the password "{PASSWORD}".', flush=True)
        print(f"The sandbox: {sandbox.base_url}", flush=True)
        server = subprocess.Popen(command, cwd=HERE, env=os.environ | variables)  # noqa: S603
        signal.signal(signal.SIGTERM, lambda _signal, _frame: server.terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches uvicorn too, which ends gracefully
        server.wait()


if __name__ == "__main__":
    main()

"""Serve the application on a sandbox that loses many answers to creates: `python demo.py`, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from plivo_endpoints.sandbox import Fault, Sandbox

HERE = Path(__file__).parent
PORT = sys.argv[1] if len(sys.argv) > 1 else "8450"


def main() -> None:
    """Run gunicorn until a signal."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        # Some are carried out before the answer is lost, some are not.
        for seed, applied in enumerate((True, False)):
            sandbox.inject(
                Fault(applied=applied, reset=True), rate=0.2, seed=seed, method="POST", path="Endpoint/"
            )
        variables = {
            "PLIVO_AUTH_ID": sandbox.auth_id,
            "PLIVO_AUTH_TOKEN": sandbox.auth_token,
            "PLIVO_BASE_URL": sandbox.base_url,
            "PHONES_DB": str(Path(folder, "phones.db")),
            "FLASK_SECRET_KEY": secrets.token_hex(16),
            "SETTLE": "5",
        }
        command = (sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{PORT}", "app:app")
        print(f"The sandbox: {sandbox.base_url}", flush=True)
        server = subprocess.Popen(command, cwd=HERE, env=os.environ | variables)  # noqa: S603
        signal.signal(signal.SIGTERM, lambda _signal, _frame: server.terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches gunicorn too, which ends gracefully
        server.wait()


if __name__ == "__main__":
    main()

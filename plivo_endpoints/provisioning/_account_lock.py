"""One run at a time for an account on one machine: two of them could not tell their creates apart.

The lock is a file in the user's state folder, held by SQLite, so that it ends with the process. Beside it
stands who holds it. Where there is no such folder, as in some containers, there is no lock: that is warned
of.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plivo_endpoints._events import logger
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._state._file import exclusively, make_private

if TYPE_CHECKING:
    from collections.abc import Generator

_APP: Final = "plivo-endpoints"


@contextmanager
def account_locked(account: str) -> Generator[None]:
    """Hold the lock of an account, by its URL, for the block.

    Raises:
        StateError: Another run works on the account.
    """
    try:
        path = _folder() / f"{hashlib.sha256(account.encode()).hexdigest()[:32]}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
    except (OSError, RuntimeError) as error:  # the latter: nobody knows the user's home
        logger.warning("no lock against a second run on this account: %s", error)
        yield
        return
    holder = path.with_suffix(".txt")
    with exclusively(path) as is_ours:
        if not is_ours:
            raise StateError(f"another run works on this account: {_read(holder)}")
        with suppress(OSError):  # a disk that is full, say: the lock holds all the same
            holder.write_text(_who(), encoding="utf-8")
        yield


def _folder() -> Path:
    """Return where programs keep their state for this user."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    if given.is_absolute():  # another has to be ignored, says the specification
        return given / _APP
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / _APP
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / _APP
    return Path.home() / ".local" / "state" / _APP


def _who() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        folder = str(Path.cwd())
    except OSError:
        folder = "a folder that is gone"
    return f"process {os.getpid()} on {socket.gethostname()}, since {since}, in {folder}"


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "the holder is unknown"

"""A lock that allows one run per account on a machine: two runs could not tell their creates apart.

The lock is a file in the user's state directory. SQLite holds it, so it ends with the process. A text file
beside it names the holder. Without such a directory, as in some containers, a warning is logged and there is
no lock.
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

_SHARED: Final = "one that several processes can share: see `provision status`"
_APP: Final = "plivo-endpoints"


@contextmanager
def account_locked(account: str, *, shared: bool = False) -> Generator[None]:
    """Hold the lock of the account with this URL for the block.

    Args:
        account: The account's URL.
        shared: Whether others may hold it too, if theirs is also shared.

    Raises:
        StateError: Another run holds the lock.
    """
    try:
        path = _folder() / f"{hashlib.sha256(account.encode()).hexdigest()[:32]}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user's home directory is unknown
        logger.warning("cannot lock the account against a second run: %s", error)
        yield
        return
    holder = path.with_suffix(".txt")
    with exclusively(path, shared=shared) as is_ours:
        if not is_ours:
            raise StateError(f"another run works on this account: {_read(holder)}")
        with suppress(OSError):  # such as a full disk: the lock holds anyway
            holder.write_text(_SHARED if shared else _who(), encoding="utf-8")
        yield


def _folder() -> Path:
    """Return the directory for this user's state files."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    if given.is_absolute():  # the XDG specification says to ignore a relative one
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
        folder = "a folder that no longer exists"
    return f"process {os.getpid()} on {socket.gethostname()}, since {since}, in {folder}"


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "the holder is unknown"

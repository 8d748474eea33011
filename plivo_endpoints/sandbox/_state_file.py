"""The file in which an account outlives the program: read and written safely, by one sandbox at a time."""

import errno
import hashlib
import json
import os
import sqlite3
import stat
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from plivo_endpoints.sandbox._json import Json, read_object
from plivo_endpoints.sandbox._refusal import RefusedError

# Neither follow a link nor wait for the other end of a pipe; Windows knows neither flag.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class StateFile:
    """A JSON document in a file, locked while a sandbox serves from it.

    The lock is a database beside the file, because SQLite can lock on every system.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path.absolute()
        self._lock_path = self.path.with_name(f".{path.name}.lock")
        self._lock: sqlite3.Connection | None = None
        self._holder: int | None = None
        self._known = _digest(b"")

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock: after a fork the parent does."""
        return self._holder == os.getpid()

    def read(self) -> dict[str, Json] | None:
        """Return what the file holds, `None` if it is missing or empty.

        Raises:
            ValueError: it is not a regular file, or no JSON object.
            OSError: it cannot be read.
        """
        content = self._read_bytes() or b""
        self._known = _digest(content)
        if not content:
            return None
        try:
            return read_object(content)
        except RefusedError:
            raise self.refuse("it is not a JSON object") from None

    def acquire(self) -> None:
        """Lock the file until `release`.

        Raises:
            OSError: another sandbox holds the lock.
            ValueError: another sandbox has written the file since it was read.
        """
        with self._errors_about_the_file():
            self._lock = self._open_lock()
        self._holder = os.getpid()
        try:
            self._check_unchanged()
        except BaseException:
            self.release()
            raise

    def write(self, value: dict[str, Json]) -> None:
        """Replace what the file holds, whole or not at all; only its owner can read it."""
        content = json.dumps(value | {"process": os.getpid()}).encode()
        with self._errors_about_the_file():
            # A new file under a name that nobody can foresee, with mode 0600.
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            unfinished = Path(name)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                unfinished.replace(self.path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        self._known = _digest(content)

    def release(self) -> None:
        """Let other sandboxes use the file."""
        if self._lock is not None:
            with closing(self._lock), suppress(OSError):  # Windows removes no file that is open
                self._lock_path.unlink()
            self._lock = self._holder = None

    def refuse(self, problem: str) -> ValueError:
        """Return the error for a file that holds something else."""
        return ValueError(f"{self.path} holds no state of a sandbox: {problem}")

    def _open_lock(self) -> sqlite3.Connection:
        """Return a connection that holds the lock."""
        os.close(os.open(self._lock_path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600))
        opened = self._lock_path.lstat()
        with ExitStack() as undone:
            try:
                lock = sqlite3.connect(
                    self._lock_path, timeout=0, isolation_level=None, check_same_thread=False
                )
                undone.enter_context(closing(lock))
                lock.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written to it
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    raise self._in_use() from None
                raise OSError(errno.EIO, f"{self._lock_path.name} cannot be locked: {error}") from None
            # Whoever held the lock before may have removed its file after we opened it.
            if not self._lock_path.exists() or not os.path.samestat(opened, self._lock_path.lstat()):
                raise self._in_use()
            undone.pop_all()
        return lock

    def _in_use(self) -> OSError:
        writer = ""
        with suppress(ValueError, OSError):
            process = read_object(self._read_bytes() or b"").get("process")
            writer = f" (process {process})" if isinstance(process, int) else ""
        return OSError(errno.EBUSY, f"another sandbox{writer} is using it")

    def _check_unchanged(self) -> None:
        content = self._read_bytes()
        if content is not None and _digest(content) != self._known:
            raise ValueError(f"another sandbox has written {self.path} since this one read it")

    def _read_bytes(self) -> bytes | None:
        if self.path.is_symlink():
            raise self.refuse("it is a link, not a regular file")
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self.refuse("it is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors_about_the_file(self) -> Generator[None]:
        # A full disk names no file, and the files beside this one are none that the user knows of.
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()

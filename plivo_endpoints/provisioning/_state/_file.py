"""The state's file: its format, its lock, and whether it is complete.

In WAL mode the latest commits are in a log beside the file, `-wal`, until SQLite moves them into it. A killed
run leaves its log. If the file is then moved or copied without the log, the state has lost creates. So the
file records whether it is in use, and a file that is in use but has no log is refused.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from plivo_endpoints.provisioning._errors import StateError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

APPLICATION: Final = 0x504C4550  # identifies the format, also for the `file` command
CLOSED: Final = 1  # format version: everything is in the file
_IN_USE: Final = 2  # format version: part of it may be in the log


def connect(path: Path | None, timeout: float = 5.0, *, query: str = "") -> sqlite3.Connection:
    """Connect to a file, or to a temporary database; transactions are explicit."""
    name = "" if path is None else str(path.resolve())  # absolute, as SQLite interprets some other names
    if path is not None and query:
        name = f"{path.resolve().as_uri()}{query}"
    return sqlite3.connect(name, timeout=timeout, isolation_level=None, uri=bool(query))


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect without creating, changing or removing the file or its log."""
    # To read a file without a log, SQLite would create one and could not remove it.
    return connect(path, query="?mode=ro" if _has_log(path) else "?immutable=1")


def _has_log(path: Path) -> bool:
    """Whether there is a log beside the file, as there is while it is in use and after a crash."""
    path = path.resolve()
    return path.with_name(f"{path.name}-wal").exists()


def check_file(path: Path) -> None:
    """Raise unless the file is a complete state; call it before creating files or changing permissions."""
    if not path.exists():
        raise StateError(f"there is no state file {path}")
    if not path.is_file():
        raise StateError(f"{path} is not a state of this program")
    if path.stat().st_nlink > 1:
        raise StateError(
            f"{path} has a second name (a hard link), under which another run could use it: copy it"
        )
    logged = _has_log(path)
    with closing(_connect_to_read(path)) as db:
        is_new(db, path)
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == _IN_USE and not (logged or _has_log(path)):  # a run may just have started
        raise StateError(
            f"{path} was left by a killed run, and its latest changes are in {path.name}-wal, which is not "
            "beside it: without that file, endpoints would be created twice. (If another program has opened "
            "the state since, they may be in it: see the guide to provisioning.)"
        )


@contextmanager
def in_use(db: sqlite3.Connection) -> Generator[None]:
    """Mark the file as in use for the block, while part of its contents may be in the log."""
    try:
        db.execute(f"PRAGMA user_version = {_IN_USE}")
        if not _has_moved_log(db):
            raise StateError(
                "the state cannot be marked as in use, as another program is reading it: close that"
            )
        yield
    finally:
        with suppress(sqlite3.Error):  # then the mark and the log stay
            _mark_closed(db)


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Connect for reading only, without making the file less complete than before."""
    if _has_log(path):
        # An ordinary connection, if it is the last to close, would remove the log of a killed run.
        with closing(_connect_to_read(path)) as db:
            yield db
        return
    with closing(connect(path)) as db:
        try:
            yield db
        finally:
            with suppress(sqlite3.Error, StateError):  # the other run is still in progress
                _close_for_another(db, path)


def copy_state(path: Path, to: Path) -> None:
    """Copy the current contents of a state to a new file; also during a run."""
    check_file(path)
    with reading(path) as db:
        if is_new(db, path):
            raise StateError(f"{path} is not a state of this program")
        db.execute("VACUUM INTO ?", (str(to),))
    with closing(connect(to)) as copy:
        copy.execute(f"PRAGMA user_version = {CLOSED}")


def _close_for_another(db: sqlite3.Connection, path: Path) -> None:
    """Mark the file as closed if another run started and was killed; closing moves its log into the file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == _IN_USE:
        with locked(path):
            db.execute("PRAGMA query_only = OFF")
            _mark_closed(db)


def _mark_closed(db: sqlite3.Connection) -> None:
    _has_moved_log(db)  # before the mark is set, as SQLite moves the page with the mark first
    db.execute(f"PRAGMA user_version = {CLOSED}")
    _has_moved_log(db)  # if another connection is reading, SQLite does this when it closes


def _has_moved_log(db: sqlite3.Connection) -> bool:
    """Move the log into the file; return whether that succeeded."""
    (is_busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def is_new(db: sqlite3.Connection, path: Path | None) -> bool:
    """Return whether a database is empty; raise `StateError` if it is neither empty nor a state."""
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise StateError(f"{path} is not a state of this program") from None
    if application == APPLICATION and version not in {CLOSED, _IN_USE}:
        raise StateError(f"{path} is a state of another version of this program")
    if application != APPLICATION and (application or tables):
        raise StateError(f"{path} is not a state of this program")
    return not tables


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    db.execute("BEGIN")
    yield
    db.execute("COMMIT")


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the file's lock, a database beside it, because SQLite can lock on every system."""
    path = path.resolve()  # a link must not bypass the lock
    beside = path.with_name(f"{path.name}-lock")
    make_private(beside)
    known = beside.stat().st_ino
    with exclusively(beside) as is_ours:
        if not is_ours:
            raise StateError(f"the state {path} is in use by another run")
        # The previous holder may have removed the lock file after we opened it; our lock is void then.
        if not beside.exists() or beside.stat().st_ino != known:
            raise StateError(f"the state {path} was just released by another run: try again")
        yield


@contextmanager
def exclusively(path: Path, *, shared: bool = False) -> Generator[bool]:
    """Lock a file until the end of the block or the process; yield whether the lock was free.

    With `shared`, others may lock it too, if also shared.
    """
    with closing(connect(path, timeout=0)) as lock:
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written to it
            lock.execute("BEGIN" if shared else "BEGIN EXCLUSIVE")
            if shared:
                lock.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock, and keeps it
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            yield False
        else:
            yield True


def make_private(path: Path) -> None:
    """Make a file exist that only its owner may read; SQLite copies its permissions to -wal and -shm."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Not through a descriptor: closing one would release the locks that SQLite holds in this process.
        path.chmod(0o600)
    else:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

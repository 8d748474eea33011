"""The state's file: whose it is, who has it, and whether it is all there.

In WAL mode what was committed last is in a log beside the file, `-wal`, until SQLite has moved it over. A run
that is killed leaves its log; a file that is then moved or copied without it is a state that has forgotten
creates. So the file says whether it is in use, and in use without a log it is refused.
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

APPLICATION: Final = 0x504C4550  # what `file` and we know the format by
CLOSED: Final = 1  # versions of the format: all is in the file
_IN_USE: Final = 2  # or part of it in the log


def connect(path: Path | None, timeout: float = 5.0, *, query: str = "") -> sqlite3.Connection:
    """Connect to a file, or to a temporary database; transactions are begun and ended by us alone."""
    name = "" if path is None else str(path.resolve())  # absolute, as some other names are SQLite's own
    if path is not None and query:
        name = f"{path.resolve().as_uri()}{query}"
    return sqlite3.connect(name, timeout=timeout, isolation_level=None, uri=bool(query))


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect so that neither the file nor its log is made, changed or cleared away."""
    # To read a file without a log, SQLite would make one, and could not remove it.
    return connect(path, query="?mode=ro" if _has_log(path) else "?immutable=1")


def _has_log(path: Path) -> bool:
    """Whether there is a log beside it, as there is while it is in use and after a crash."""
    path = path.resolve()
    return path.with_name(f"{path.name}-wal").exists()


def check_file(path: Path) -> None:
    """Refuse what is no whole state, before anything is made beside it or its permissions are changed."""
    if not path.exists():
        raise StateError(f"there is no state {path}")
    if not path.is_file():
        raise StateError(f"{path} is not a state of this program")
    if path.stat().st_nlink > 1:
        raise StateError(
            f"{path} has a second name (a hard link), by which another run could use it: copy it"
        )
    logged = _has_log(path)
    with closing(_connect_to_read(path)) as db:
        is_new(db, path)
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == _IN_USE and not (logged or _has_log(path)):  # a run may just have begun
        raise StateError(
            f"{path} was left by a run that was killed, and what that did last is in {path.name}-wal, "
            "which is not beside it: without that, endpoints would be made twice. (If another program has "
            "opened it since, that is in it: see the guide to provisioning.)"
        )


@contextmanager
def in_use(db: sqlite3.Connection) -> Generator[None]:
    """Let the file say that it is not all, until all is in it again."""
    try:
        db.execute(f"PRAGMA user_version = {_IN_USE}")
        if not _has_moved_log(db):
            raise StateError("another program is reading the state, so that it cannot be marked: close it")
        yield
    finally:
        with suppress(sqlite3.Error):  # then it goes on saying so, and the log stays
            _mark_closed(db)


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Connect to look only, so that the file is afterwards as whole as before."""
    if _has_log(path):
        # An ordinary connection would, as the last to close, clear away what a killed run has left.
        with closing(_connect_to_read(path)) as db:
            yield db
        return
    with closing(connect(path)) as db:
        try:
            yield db
        finally:
            with suppress(sqlite3.Error, StateError):  # that run is still under way
                _close_for_another(db, path)


def copy_state(path: Path, to: Path) -> None:
    """Copy a state as it is now into a new file, also while a run works on it."""
    check_file(path)
    with reading(path) as db:
        if is_new(db, path):
            raise StateError(f"{path} is not a state of this program")
        db.execute("VACUUM INTO ?", (str(to),))
    with closing(connect(to)) as copy:
        copy.execute(f"PRAGMA user_version = {CLOSED}")


def _close_for_another(db: sqlite3.Connection, path: Path) -> None:
    """Where a run began meanwhile and was killed, mark its end: closing moves its log into the file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == _IN_USE:
        with locked(path):
            db.execute("PRAGMA query_only = OFF")
            _mark_closed(db)


def _mark_closed(db: sqlite3.Connection) -> None:
    _has_moved_log(db)  # first the rest: SQLite moves the page with the mark before it
    db.execute(f"PRAGMA user_version = {CLOSED}")
    _has_moved_log(db)  # where somebody is reading, SQLite does it when they close


def _has_moved_log(db: sqlite3.Connection) -> bool:
    """Move the log into the file; say whether that could be done."""
    (is_busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def is_new(db: sqlite3.Connection, path: Path | None) -> bool:
    """Say whether a database is empty yet; raise if it is neither that nor a state of ours."""
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
    """Hold the file's lock: a database beside it, because SQLite can lock on every system."""
    path = path.resolve()  # a link must not lead around it
    beside = path.with_name(f"{path.name}-lock")
    make_private(beside)
    known = beside.stat().st_ino
    with exclusively(beside) as is_ours:
        if not is_ours:
            raise StateError(f"the state {path} is in use by another run")
        # Who has the lock may remove its file, and with that the lock from whoever had just opened it.
        if not beside.exists() or beside.stat().st_ino != known:
            raise StateError(f"the state {path} was just in use by another run: try again")
        yield


@contextmanager
def exclusively(path: Path) -> Generator[bool]:
    """Hold a file until the end of the block, or of the process; say whether nobody else does."""
    with closing(connect(path, timeout=0)) as lock:
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written to it
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            yield False
        else:
            yield True


def make_private(path: Path) -> None:
    """See to it that the file exists and only its owner may read it; SQLite gives -wal and -shm the same."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Not through a descriptor: closing one would drop the locks that SQLite holds in this process.
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

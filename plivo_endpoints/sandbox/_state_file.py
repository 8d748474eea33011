"""The file that keeps an account across restarts: a JSON document, used by one sandbox at a time."""

import errno
import hashlib
import json
import os
import sqlite3
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, fields_dict

from plivo_endpoints.sandbox._json import Json, RefusedError, read_object
from plivo_endpoints.sandbox._rules import app_id_error
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory
from plivo_endpoints.sandbox._store import FIRST_ID, LAST_ID, LAST_SUFFIX, Registration, SandboxEndpoint

_FORMAT = 2
_ENDPOINT_TYPES: Mapping[str, type] = {
    "default_app_id": str,
    "last_id": int,
    "last_suffix": int,
    "endpoints": list,
}
_CREDENTIAL_TYPES: Mapping[str, type] = {"auth_id": str, "auth_token": str, "subaccounts": dict}


def dump_account(caller: Caller, directory: Directory) -> dict[str, Json]:
    """Return an account, its subaccounts and its endpoints."""
    return {
        "auth_id": caller.auth_id,
        "auth_token": caller.auth_token,
        "subaccounts": {each.auth_id: each.auth_token for each in directory.subaccounts(caller.state)},
        **dump_endpoints(caller.state),
    }


def dump_endpoints(state: AccountState) -> dict[str, Json]:
    """Return the endpoints of an account, and what makes new ids and usernames differ from theirs."""
    store = state.store
    # First, as another thread may be adding one: `last_id` must not be older.
    endpoints: list[Json] = [_dump_endpoint(endpoint) for endpoint in store.snapshot().values()]
    return {
        "format": _FORMAT,
        "default_app_id": store.default_app_id,
        "last_id": store.last_id,
        "last_suffix": store.last_suffix,
        "endpoints": endpoints,
    }


def restore_account(saved: Mapping[str, Json], directory: Directory) -> Caller:
    """Add a saved account and its subaccounts to `directory`.

    Raises:
        ValueError: `saved` is not what `dump_account` returns; the message names the field.
    """
    account = _check_types(saved, _CREDENTIAL_TYPES)
    state = AccountState(account["auth_id"], directory)
    caller = Caller(state=state, auth_id=account["auth_id"], auth_token=account["auth_token"])
    state.store.last_id = 0
    restore_endpoints(saved, state)
    directory.add(caller)
    for auth_id, auth_token in account["subaccounts"].items():
        if directory.find(auth_id) is not None:
            raise ValueError("subaccounts must not have the account's auth_id")
        directory.add(Caller(state=state, auth_id=auth_id, auth_token=auth_token))
    return caller


def restore_endpoints(saved: Mapping[str, Json], state: AccountState) -> None:
    """Replace the endpoints of an account by saved ones, which may be another account's.

    Raises:
        ValueError: `saved` is not what `dump_endpoints` returns; the message names the field.
    """
    account = _check_types(saved, _ENDPOINT_TYPES)
    if problem := app_id_error(account["default_app_id"]):
        raise ValueError(f"default_app_id {problem}")
    last_id, last_suffix = account["last_id"], account["last_suffix"]
    if not (FIRST_ID <= last_id <= LAST_ID and 0 <= last_suffix <= LAST_SUFFIX):
        raise ValueError("last_id or last_suffix is out of range")
    endpoints: dict[str, SandboxEndpoint] = {}
    newest = ""
    for number, each in enumerate(account["endpoints"]):
        endpoint = _restore_endpoint(each, f"endpoints[{number}]")
        if not newest < endpoint.endpoint_id <= str(last_id):
            raise ValueError(f"endpoints[{number}] is out of order")
        if endpoint.username in endpoints:
            raise ValueError(f"endpoints[{number}] has the username of another")
        newest = endpoint.endpoint_id
        endpoints[endpoint.username] = evolve(endpoint, account_id=state.auth_id)
    state.store.default_app_id = account["default_app_id"]
    state.store.restore(endpoints.values(), last_id, last_suffix)


def _check_types(account: Mapping[str, Any], types: Mapping[str, type]) -> Mapping[str, Any]:
    if account.get("format") != _FORMAT:
        raise ValueError(f"format must be {_FORMAT}")
    for name, kind in types.items():
        if type(account.get(name)) is not kind:  # bool is a subclass of int
            raise ValueError(f"{name} must be of type {kind.__name__}")
    return account


def _dump_endpoint(endpoint: SandboxEndpoint) -> dict[str, Json]:
    return asdict(endpoint, value_serializer=lambda _, __, value: _dump_value(value))


def _dump_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _restore_endpoint(saved: Json, place: str) -> SandboxEndpoint:
    try:
        fields = _read_fields(saved, SandboxEndpoint)
        if fields["registration"] is not None:
            registration = _read_fields(fields["registration"], Registration)
            registration["expires"] = _read_time(registration["expires"])
            fields["registration"] = Registration(**registration)
        fields["created"] = _read_time(fields["created"])
        return SandboxEndpoint(**fields)
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None


def _read_fields(saved: Json, model: type[Any]) -> dict[str, Any]:
    names = list(fields_dict(model))
    if not isinstance(saved, dict) or set(saved) != set(names):
        raise ValueError(f"must be an object with exactly the keys {', '.join(names)}")
    return dict(saved)


def _read_time(value: Any) -> datetime:  # noqa: ANN401 - any JSON value
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("a time must be a string in ISO 8601") from None


# Do not follow a link, and do not wait for the other end of a pipe. Windows has neither flag.
_SAFE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class StateFile:
    """A JSON document in a file, locked while a sandbox uses it.

    The lock is a database next to the file, because SQLite can lock files on every system.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path.absolute()
        self._lock_path = self.path.with_name(f".{path.name}.lock")
        self._lock: sqlite3.Connection | None = None
        self._holder: int | None = None
        self._known = _digest(b"")

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock; after a fork the parent still does."""
        return self._holder == os.getpid()

    def read(self) -> dict[str, Json] | None:
        """Return the content of the file, or `None` if it is missing or empty.

        Raises:
            ValueError: it is not a regular file, or not a JSON object.
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
        """Replace the content of the file atomically; only its owner can read it."""
        content = json.dumps(value | {"process": os.getpid()}).encode()
        with self._errors_about_the_file():
            # A new file with an unpredictable name and mode 0600.
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
            with closing(self._lock), suppress(OSError):  # Windows does not remove open files
                self._lock_path.unlink()
            self._lock = self._holder = None

    def refuse(self, problem: str) -> ValueError:
        """Return the error for a file that contains something else."""
        return ValueError(f"{self.path} is not a sandbox state file: {problem}")

    def _open_lock(self) -> sqlite3.Connection:
        """Return a connection that holds the lock."""
        os.close(os.open(self._lock_path, os.O_RDWR | os.O_CREAT | _SAFE_FLAGS, 0o600))
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
            # The previous holder may have removed the lock file after we opened it.
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
            descriptor = os.open(self.path, os.O_RDONLY | _SAFE_FLAGS)
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
        # An error for a full disk names no file, and the user does not know the files next to this one.
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()

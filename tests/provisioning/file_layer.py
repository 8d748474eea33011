"""A layer between SQLite and its files that remembers every write and sync, and can fail one.

It is a copy of SQLite's own VFS whose files have some of their methods replaced, by ctypes: so the state
runs on the very library and settings that it always runs on. https://sqlite.org/c3ref/io_methods.html
"""

from __future__ import annotations

import _sqlite3  # pyright: ignore[reportMissingImports]
import ctypes
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

if TYPE_CHECKING:
    import random
    from collections.abc import Generator, Sequence

Kind = Literal["write", "truncate", "sync", "delete"]

FULL: Final = 13  # SQLITE_FULL
IO_ERROR: Final = 10  # SQLITE_IOERR

_Pointer, _Int, _Long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# The name as a bare pointer: SQLite keeps it, and a copy made for Python would be gone when it is used.
_OPEN: Final = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Pointer, _Int, _Pointer)
_DELETE: Final = ctypes.CFUNCTYPE(_Int, _Pointer, ctypes.c_char_p, _Int)
_WRITE: Final = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int, _Long)
_TRUNCATE: Final = ctypes.CFUNCTYPE(_Int, _Pointer, _Long)
_SYNC: Final = ctypes.CFUNCTYPE(_Int, _Pointer, _Int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", _Int),
        ("szOsFile", _Int),
        ("mxPathname", _Int),
        ("pNext", _Pointer),
        ("zName", ctypes.c_char_p),
        ("pAppData", _Pointer),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
        ("others", _Pointer * 14),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", _Int),
        ("xClose", _Pointer),
        ("xRead", _Pointer),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        ("others", _Pointer * 13),
    ]


class _File(ctypes.Structure):
    _fields_ = [("pMethods", ctypes.POINTER(_Methods))]


@frozen
class Event:
    """Something that happened to a file: in what order is what matters."""

    kind: Kind
    file: str
    offset: int = 0  # of a write; the new size of a truncation
    content: bytes = b""


class FileLayer:
    """Everything that happened to SQLite's files while it was there."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fails_at: dict[Kind, int] = {}  # after so many of a kind every further one fails
        self.failure = FULL
        self._names: dict[int, str] = {}
        self._kept: list[object] = []  # what C points to must not go away
        self._library = _library()
        self._real = _Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._own = _Vfs.from_buffer_copy(self._real)
        self._own.zName, self._own.pNext = b"remembering", None
        self._own.xOpen, self._own.xDelete = _OPEN(self._open), _DELETE(self._delete)

    def install(self) -> None:
        """Let every connection from now on go through it."""
        self._library.sqlite3_vfs_register(ctypes.byref(self._own), 1)

    def remove(self) -> None:
        """Let further connections be as ever."""
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._own))
        self._library.sqlite3_vfs_register(ctypes.byref(self._real), 1)

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        status: int = self._real.xOpen(ctypes.addressof(self._real), name, file, flags, out)
        if status == 0 and name is not None:
            self._names[file] = ctypes.string_at(name).decode()
            opened = _File.from_address(file)
            methods = _Methods.from_buffer_copy(opened.pMethods.contents)
            self._replace(methods, opened.pMethods.contents)
            self._kept.append(methods)
            opened.pMethods = ctypes.pointer(methods)
        return status

    def _delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        # SQLite syncs the folder where it relies on a file being gone.
        self._note(Event("delete", name.decode()))
        status: int = self._real.xDelete(ctypes.addressof(self._real), name, sync_folder)
        return status

    def _replace(self, methods: _Methods, real: _Methods) -> None:
        def write(file: int, content: int, length: int, offset: int) -> int:
            event = Event("write", self._names[file], offset, ctypes.string_at(content, length))
            return self._note(event) or real.xWrite(file, content, length, offset)

        def truncate(file: int, size: int) -> int:
            return self._note(Event("truncate", self._names[file], size)) or real.xTruncate(file, size)

        def sync(file: int, flags: int) -> int:
            # Noted when it is done: until then nothing is safe.
            failed = self._fails("sync") or real.xSync(file, flags)
            return failed or self._note(Event("sync", self._names[file]))

        methods.xWrite, methods.xTruncate, methods.xSync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)

    def _note(self, event: Event) -> int:
        if event.kind != "sync" and (failed := self._fails(event.kind)):
            return failed
        self.events.append(event)
        return 0

    def _fails(self, kind: Kind) -> int:
        if kind not in self.fails_at:
            return 0
        self.fails_at[kind] -= 1
        return self.failure if self.fails_at[kind] < 0 else 0


@contextmanager
def remembered() -> Generator[FileLayer]:
    """Put a layer under every connection made in the block."""
    layer = FileLayer()
    layer.install()
    try:
        yield layer
    finally:
        layer.remove()


def is_possible() -> bool:
    """Whether this Python's SQLite can be reached."""
    try:
        return bool(_library().sqlite3_vfs_find(None)) and sqlite3.threadsafety >= 1
    except (AttributeError, OSError):
        return False


def disk_after(events: Sequence[Event], chance: random.Random | None) -> dict[str, bytes]:
    """Return the files as a power cut after these events may leave them.

    What was synced is there. Of the rest nothing is, or with `chance` any part of it, in any order.
    """
    safe: dict[str, bytearray] = {}
    unsafe: dict[str, list[Event]] = {}
    for event in events:
        waiting = unsafe.setdefault(event.file, [])
        if event.kind == "delete":
            safe.pop(event.file, None)
            waiting.clear()
        elif event.kind == "sync":
            for each in waiting:
                _carry_out(safe.setdefault(each.file, bytearray()), each)
            waiting.clear()
        else:
            waiting.append(event)
    if chance is not None:
        for file, waiting in unsafe.items():
            for each in chance.sample(waiting, chance.randint(0, len(waiting))):
                _carry_out(safe.setdefault(file, bytearray()), _torn(each, chance))
    return {file: bytes(content) for file, content in safe.items()}


def _torn(event: Event, chance: random.Random) -> Event:
    kept = event.content[: chance.randint(0, len(event.content))] if chance.random() < 0.3 else event.content
    return Event(event.kind, event.file, event.offset, kept)


def _carry_out(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.content)] = event.content


def _library() -> Any:
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = _Pointer
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [_Pointer, _Int]
    library.sqlite3_vfs_unregister.argtypes = [_Pointer]
    return library

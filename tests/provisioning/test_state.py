"""The state: its guarantees about power failures, disks, processes and secrets."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import Entry, RowState, Spec, SqliteState, StateError
from plivo_endpoints.provisioning._state import _file, _group_commit, _sqlite
from plivo_endpoints.provisioning._transitions import stamp
from tests.provisioning.file_layer import FULL, IO_ERROR, Event, disk_after, is_possible, remembered
from tests.provisioning.fleets import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Row
    from plivo_endpoints.provisioning._state._protocol import Transition

needs_layer = pytest.mark.skipif(not is_possible(), reason="this Python hides its SQLite")

ROWS = 60


class BusyState(SqliteState):
    """Moves the log into the database all the time, so that this is in the middle of things too."""

    def _prepare(self, db: sqlite3.Connection) -> None:
        super()._prepare(db)
        db.execute("PRAGMA wal_autocheckpoint = 7")


class CarelessState(BusyState):
    """What it would be with SQLite's other setting for a write-ahead log."""

    def _prepare(self, db: sqlite3.Connection) -> None:
        super()._prepare(db)
        db.execute("PRAGMA synchronous = NORMAL")


def entries(count: int) -> list[Entry]:
    """Make so many new entries."""
    return [
        Entry(number=n, line=n, key=f"key-{n}", wanted=Spec(username=f"user{n}x", alias=f"row-{n}"))
        for n in range(1, count + 1)
    ]


async def intend(state: SqliteState, events: list[Event]) -> None:
    """Write intents, several at the same time, and note among the events when each was acknowledged."""

    async def one(entry: Entry) -> None:
        await state.save([(entry, stamp(entry, 1.0))])
        events.append(Event("sync", f"acknowledged {entry.number}"))

    await state.open()
    await state.add(entries(ROWS))
    await state.take_up({})
    for first in range(0, ROWS, 4):
        await asyncio.gather(*(one(entry) for entry in entries(ROWS)[first : first + 4]))
    await state.close()


def lost(events: list[Event], chance: random.Random | None, folder: Path) -> set[int]:
    """Return the acknowledged intents that a power cut after these events takes along."""
    told = {int(event.file.split()[1]) for event in events if event.file.startswith("acknowledged")}
    for old in folder.iterdir():
        old.unlink()
    for name, content in disk_after(events, chance).items():
        if "run.db" in name and not name.endswith("-lock"):
            (folder / name.rpartition("/")[2]).write_bytes(content)
    with closing(sqlite3.connect(folder / "run.db")) as db:
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'rows'").fetchall():
            return told
        kept = {number for (number,) in db.execute("SELECT number FROM rows WHERE state = 'intent'")}
    return told - kept


async def trials(kind: type[SqliteState], tmp_path: Path, count: int) -> int:
    """Cut the power at many moments, and count the acknowledged intents that are lost."""
    with remembered() as layer:
        await intend(kind(tmp_path / "run.db"), layer.events)
    events, chance = layer.events, random.Random(1)  # noqa: S311 - repeatable on purpose
    folder = tmp_path / "after"
    folder.mkdir()
    total = 0
    for trial in range(count):
        cut = events[: chance.randint(0, len(events))]
        total += len(lost(cut, chance if trial % 2 else None, folder))
    return total


@needs_layer
async def test_a_power_cut_takes_no_acknowledged_intent_along(tmp_path: Path) -> None:
    """300 cuts at any moment: what was not synced is lost in part or whole, in any order."""
    assert await trials(BusyState, tmp_path, 300) == 0


@needs_layer
async def test_with_less_care_it_would(tmp_path: Path) -> None:
    """With `synchronous=NORMAL` the same cuts lose intents, so the layer detects what it should."""
    assert await trials(CarelessState, tmp_path, 100) > 0


@needs_layer
@pytest.mark.parametrize("failure", [FULL, IO_ERROR], ids=["disk full", "I/O error"])
@pytest.mark.parametrize("kind", ["write", "sync"])
async def test_a_disk_that_fails(tmp_path: Path, kind: str, failure: int) -> None:
    """The failed group and all later requests raise; acknowledged writes are there after a restart."""
    path = tmp_path / "run.db"
    with remembered() as layer:
        state = SqliteState(path)
        await state.open()
        await state.add(entries(ROWS))
        await state.take_up({})
        layer.failure = failure
        layer.fails_at = {"write": 5} if kind == "write" else {"sync": 5}
        kept: set[int] = set()
        for entry in entries(ROWS):
            try:
                await state.save([(entry, stamp(entry, 1.0))])
            except StateError:
                break
            kept.add(entry.number)
        with pytest.raises(StateError):
            await state.facts()
        layer.fails_at = {}
        await state.close()
    again = SqliteState(path)
    await again.open()
    found = {entry.number for entry in await again.read(after=0, limit=ROWS, states={RowState.INTENT})}
    await again.close()
    assert kept
    assert kept <= found


def file_modes(folder: Path) -> dict[str, int]:
    """Return who may do what with the files of a folder."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_files_are_private(tmp_path: Path) -> None:
    """Whatever the umask, only the owner may read the state and SQLite's files beside it."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    await state.add(entries(1))
    await state.take_up({})
    modes = file_modes(tmp_path)
    await state.close()
    assert modes == dict.fromkeys(["run.db", "run.db-wal", "run.db-shm", "run.db-lock"], 0o600)


async def test_settings(tmp_path: Path) -> None:
    """The guarantee about power failures depends on these; macOS needs the last two to sync at all."""
    expected = {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "checkpoint_fullfsync": 1}
    state = SqliteState(tmp_path / "run.db")
    await state.open()

    def read(db: sqlite3.Connection) -> dict[str, object]:
        return {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}

    assert await state._run(read) == expected
    await state.close()


async def test_another_looks_on(tmp_path: Path) -> None:
    """A second connection reads while the first writes; a second writer is refused."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    await state.add(entries(3))
    await state.take_up({})
    onlooker = SqliteState(tmp_path / "run.db", read_only=True)
    await onlooker.open()
    assert await onlooker.count() == {RowState.NEW: 3}
    with pytest.raises(StateError):
        await onlooker.clear()
    await onlooker.close()
    with pytest.raises(StateError, match="in use by another run"):
        await SqliteState(tmp_path / "run.db").open()
    await state.save([(entries(1)[0], stamp(entries(1)[0], 1.0))])
    await state.close()


async def test_compare_and_swap(tmp_path: Path) -> None:
    """An entry that has changed since it was read is not replaced."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    (new,) = entries(1)
    await state.add([new])
    await state.take_up({})
    await state.save([(new, stamp(new, 1.0))])
    with pytest.raises(StateError, match="row 1 was changed by another process"):
        await state.save([(new, stamp(new, 2.0))])
    await state.close()


async def test_a_wait_that_is_cut_short(tmp_path: Path) -> None:
    """A request is carried out even if its waiting task is cancelled."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    (new,) = entries(1)
    await state.add([new])
    await state.take_up({})
    waiting = asyncio.create_task(state.save([(new, stamp(new, 1.0))]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await state.count() == {RowState.INTENT: 1}
    await state.close()


async def test_it_keeps_up_with_any_quota(tmp_path: Path) -> None:
    """Concurrent requests share a sync: there are far fewer syncs than intents."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    await state.add(entries(1000))
    await state.take_up({})
    commits: list[str] = []
    await state._run(lambda db: db.set_trace_callback(commits.append))
    await asyncio.gather(*(state.save([(entry, stamp(entry, 1.0))]) for entry in entries(1000)))
    await state.close()
    assert commits.count("COMMIT") <= 50


async def test_writes_of_rows_wait_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several iterations of the loop share a commit; urgent requests or closing take them along."""
    monkeypatch.setattr(_group_commit, "_COMMIT_DELAY", 3600.0)
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    await state.add(entries(4))
    await state.take_up({})
    commits: list[str] = []
    await state._run(lambda db: db.set_trace_callback(commits.append))
    commits.clear()
    saves: list[asyncio.Task[None]] = []
    for entry in entries(3):
        saves.append(asyncio.create_task(state.save([(entry, stamp(entry, 1.0))])))
        await asyncio.sleep(0.01)  # each would have had a commit of its own by now
    async with asyncio.timeout(30):
        assert await state.count() == {RowState.NEW: 1, RowState.INTENT: 3}
        await asyncio.gather(*saves)
    assert commits.count("COMMIT") == 1
    last = asyncio.create_task(state.save([(entries(4)[3], stamp(entries(4)[3], 1.0))]))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await state.close()
        await last


async def test_a_plan_writes_once_per_page(
    client: AsyncClient, rows: Callable[[int], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for other requests first, as there are none."""
    monkeypatch.setattr(_group_commit, "_COMMIT_DELAY", 3600.0)
    for row in rows(30):
        await client.endpoints.create(username=row.username, password="s3cret", alias=row.alias)
    save, changed = SqliteState.save, list[int]()

    async def counted(self: SqliteState, changes: Sequence[Transition]) -> None:
        changed.append(len(changes))
        await save(self, changes)

    monkeypatch.setattr(SqliteState, "save", counted)
    async with asyncio.timeout(30):
        assert (await plan(client, rows(30))).counts["import"] == 30
    assert changed == [19, 11]


async def test_a_path_that_no_file_can_have() -> None:
    """It raises like every state that cannot be opened, instead of waiting for ever."""
    with pytest.raises(StateError, match="cannot be opened"):
        await asyncio.wait_for(SqliteState("a\0b").open(), 5.0)


@pytest.mark.skipif(sys.platform == "win32", reason="no file is removed there that is open")
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_lock_that_is_removed_by_whoever_had_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    """A lock file that was removed or replaced locks nobody out."""
    connect = _file.connect

    def connect_and_remove(path: Path | None, timeout: float = 5.0, *, query: str = "") -> sqlite3.Connection:
        connection = connect(path, timeout, query=query)
        if path is not None and path.name.endswith("-lock"):
            connection.execute("PRAGMA user_version").fetchone()  # only now is the file open
            path.unlink()
            if replaced:
                path.touch()
        return connection

    monkeypatch.setattr(_file, "connect", connect_and_remove)
    with pytest.raises(StateError, match="just released by another run"):
        await SqliteState(tmp_path / "run.db").open()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
async def test_one_state_by_two_names(tmp_path: Path) -> None:
    """A symbolic link does not bypass the lock."""
    (tmp_path / "link.db").symlink_to(tmp_path / "run.db")
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    with pytest.raises(StateError, match="in use by another run"):
        await SqliteState(tmp_path / "link.db").open()
    await state.close()


KILLED = """
import asyncio, os, signal, sys
from plivo_endpoints.provisioning import Entry, Spec, SqliteState

async def main():
    state = SqliteState(sys.argv[1])
    await state.open()
    await state.add([Entry(number=1, line=1, key="a", wanted=Spec(username="alice", alias="a"))])
    await state.take_up({})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Give a state with a row, left by a process that was killed."""
    path = tmp_path / "run.db"
    _kill_a_run(path)
    return path


def _kill_a_run(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)  # noqa: S603


async def keys(state: SqliteState, *states: RowState) -> set[str]:
    """Return the keys that a state holds."""
    await state.open()
    try:
        return {entry.key for entry in await state.read(after=0, limit=99, states=states or tuple(RowState))}
    finally:
        await state.close()


def _part(state: Path, folder: Path, how: str) -> tuple[Path, Path]:
    """Part a state from its log, and return where the two are."""
    log, other = folder / "run.db-wal", folder / "other.db"
    match how:
        case "moved":
            state.rename(other)
        case "copied":
            shutil.copyfile(state, other)
        case "link moved":
            state.rename(folder / "real.db")
            other.symlink_to(folder / "real.db")
        case _:
            return state, log.rename(folder / "kept")
    return other, log


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("how", ["moved", "copied", "log deleted", "link moved"])
async def test_a_state_without_its_log(left: Path, tmp_path: Path, how: str) -> None:
    """It lacks the latest changes, so it is refused, every time; with its log it is accepted."""
    other, log = _part(left, tmp_path, how)
    for read_only in (False, True, False):
        with pytest.raises(StateError, match="endpoints would be created twice"):
            await SqliteState(other, read_only=read_only).open()
    log.rename(other.resolve().with_name(f"{other.resolve().name}-wal"))
    assert await keys(SqliteState(other)) == {"a"}


def _alone(events: list[Event], path: Path) -> Path:
    """Put the state as it is after these events into a file, without its log."""
    for old in path.parent.iterdir():
        old.unlink()
    (name,) = {event.file for event in events if event.file.endswith("/run.db")} or {""}
    path.write_bytes(disk_after([*events, Event("sync", name)], None).get(name, b""))
    return path


@needs_layer
async def test_a_state_without_its_log_at_every_moment(tmp_path: Path) -> None:
    """Whenever the process is killed, even while closing, the file alone is refused or complete."""
    with remembered() as layer:
        await intend(BusyState(tmp_path / "run.db"), layer.events)
    path = tmp_path / "alone" / "run.db"
    path.parent.mkdir()
    told: set[int] = set()
    whole = 0
    for cut, event in enumerate(layer.events, 1):
        if event.file.startswith("acknowledged"):
            told.add(int(event.file.split()[1]))
        if event.kind == "sync":
            continue  # a process that is killed loses nothing that it wrote
        state = SqliteState(_alone(layer.events[:cut], path), read_only=True)
        with suppress(StateError):
            assert await keys(state, RowState.INTENT) >= {f"key-{number}" for number in told}
            whole += 1
    assert told == set(range(1, ROWS + 1))
    assert whole > 0


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
async def test_a_look_at_a_state_leaves_it_its_log(left: Path) -> None:
    """However often it is read, the next run can continue."""
    for _ in range(2):
        assert await keys(SqliteState(left, read_only=True)) == {"a"}
    assert await keys(SqliteState(left)) == {"a"}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
async def test_a_look_during_which_a_run_begins_and_is_killed(tmp_path: Path) -> None:
    """The reader, which closes last, leaves the state complete."""
    path = tmp_path / "run.db"
    assert await keys(SqliteState(path)) == set()
    look = SqliteState(path, read_only=True)
    await look.open()
    await asyncio.to_thread(_kill_a_run, path)
    await look.close()
    assert await keys(SqliteState(path)) == {"a"}


async def test_a_look_during_which_a_run_ends(tmp_path: Path) -> None:
    """The file is complete, though SQLite has not yet removed its log."""
    state, look = SqliteState(tmp_path / "run.db"), SqliteState(tmp_path / "run.db", read_only=True)
    await state.open()
    await state.add(entries(1))
    await state.take_up({})
    await look.open()
    await state.close()
    shutil.copyfile(tmp_path / "run.db", tmp_path / "copy.db")
    await look.close()
    for name in ("run.db", "copy.db"):
        assert await keys(SqliteState(tmp_path / name)) == {"key-1"}


async def test_somebody_who_reads_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that blocks the mark in the file keeps a run from starting, but does it no harm."""
    path = tmp_path / "run.db"
    assert await keys(SqliteState(path)) == set()
    monkeypatch.setattr(_sqlite, "connect", partial(_file.connect, timeout=0.01))
    with closing(sqlite3.connect(path)) as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM rows").fetchall()
        with pytest.raises(StateError, match="another program is reading it"):
            await SqliteState(path).open()
    assert await keys(SqliteState(path)) == set()


async def test_a_closed_state_is_one_file(tmp_path: Path) -> None:
    """It can be moved or copied, and reading it leaves no files beside it."""
    state = SqliteState(tmp_path / "run.db")
    await state.open()
    await state.add(entries(1))
    await state.take_up({})
    reading = asyncio.create_task(keys(SqliteState(tmp_path / "run.db", read_only=True)))
    assert await reading == {"key-1"}
    await state.close()
    moved = (tmp_path / "run.db").rename(tmp_path / "other.db")
    for read_only in (True, False):
        assert await keys(SqliteState(moved, read_only=read_only)) == {"key-1"}
    assert _names(tmp_path) == {"other.db", "other.db-lock", "run.db-lock"}


CRAMPED = """
import asyncio, os, resource, sys
from plivo_endpoints.provisioning import Entry, Spec, SqliteState, StateError

def entry(n):
    wanted = Spec(username=f"user{n}", alias=f"row-{n}")
    return Entry(number=n, line=n, key=f"key-{n}", wanted=wanted)

async def main():
    state = SqliteState(sys.argv[1])
    await state.open()
    await state.add([entry(1)])
    await state.take_up({})
    await state.note({"a": "b" * 50_000})
    size = os.path.getsize(sys.argv[1] + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        await state.add([entry(2)])
        await state.take_up({})
    except StateError:
        print("full")
    await state.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing limits a file's size there")
def test_a_state_whose_log_has_no_room(tmp_path: Path) -> None:
    """Once closed it is still complete, and the run can continue."""
    path = tmp_path / "run.db"
    ended = subprocess.run([sys.executable, "-c", CRAMPED, str(path)], capture_output=True, check=True)  # noqa: S603
    assert (ended.stdout, _names(tmp_path)) == (b"full\n", {"run.db", "run.db-lock"})
    assert asyncio.run(keys(SqliteState(path))) == {"key-1"}


async def test_a_name_that_means_something_to_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the name of a file; otherwise the state would only be in memory."""
    monkeypatch.chdir(tmp_path)
    state = SqliteState(":memory:")
    await state.open()
    await state.add(entries(1))
    await state.take_up({})
    await state.close()
    assert await keys(SqliteState(tmp_path / ":memory:")) == {"key-1"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
async def test_a_state_with_a_second_name(tmp_path: Path) -> None:
    """A hard link would bypass the lock."""
    assert await keys(SqliteState(tmp_path / "run.db")) == set()
    (tmp_path / "other.db").hardlink_to(tmp_path / "run.db")
    with pytest.raises(StateError, match="second name"):
        await SqliteState(tmp_path / "other.db").open()

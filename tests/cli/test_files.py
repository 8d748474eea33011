"""Files that commands make: whole or not at all, and never in place of another."""

import errno
import os
import stat
from pathlib import Path

import pytest

from plivo_endpoints.cli.files import new_file


@pytest.fixture(params=["links", "no links"], autouse=True)
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to a disk where a file can have two names, and to one where it cannot."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no links":
        monkeypatch.setattr(Path, "hardlink_to", refuse)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    """Killed at any moment, a command leaves no cut file by the name that was asked for."""
    path = tmp_path / "made.csv"
    with new_file(path) as file:
        file.write("all of it")
        assert not path.exists()
        assert [".csv" == each.suffix for each in tmp_path.iterdir()] == [False]
    assert path.read_text() == "all of it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path] == list(tmp_path.iterdir())


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Neither the file nor what there was of it."""
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "made.csv") as file:
        file.write("some of it")
        raise KeyboardInterrupt
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_came_meanwhile(tmp_path: Path) -> None:
    """It stays what it is, and nothing else is left."""
    path = tmp_path / "made.csv"
    with pytest.raises(FileExistsError, match="File exists"), new_file(path) as file:
        file.write("all of it")
        path.write_text("precious")
    assert path.read_text() == "precious"
    assert [path] == list(tmp_path.iterdir())

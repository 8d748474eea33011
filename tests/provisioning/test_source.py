"""Files of rows: what is read, and what is refused, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import CsvSource, JsonlSource, Problem, Row, SourceError
from plivo_endpoints.provisioning._load import load
from plivo_endpoints.provisioning._sqlite import SqliteJournal

if TYPE_CHECKING:
    from pathlib import Path

    from plivo_endpoints.provisioning import RowSource


async def problems(source: RowSource, *, derives: bool = False) -> list[tuple[int, str]]:
    """Return what is wrong with a source."""
    journal = SqliteJournal(None)
    await journal.open()
    try:
        await load(journal, source, derives=derives)
    except SourceError as error:
        return [(problem.line, problem.reason) for problem in error.problems]
    finally:
        await journal.close()
    return []


def csv_file(folder: Path, content: str | bytes) -> CsvSource:
    """Write a CSV file."""
    path = folder / "users.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(path)


def test_csv(tmp_path: Path) -> None:
    """Columns in any order, quotes over several lines, empty lines and cells, a byte order mark."""
    source = csv_file(
        tmp_path,
        '\ufeffalias,username,password,app_id,key\r\n"front, desk",alice,"s3""cret",77,one\r\n'
        "\r\nlobby,bob,,,\r\n",
    )
    expected = [
        Row(key="one", username="alice", alias="front, desk", password='s3"cret', app_id="77", line=2),
        Row(key="bob", username="bob", alias="lobby", line=4),
    ]
    assert expected == list(source) == list(source)
    assert [row.line for row in source if isinstance(row, Row)] == [2, 4]


def test_json_lines(tmp_path: Path) -> None:
    """Objects of strings, null as if absent."""
    path = tmp_path / "users.jsonl"
    path.write_text(
        '{"username": "alice", "alias": "a", "password": null}\n\n{"username":"bob","alias":"b","key":"k"}'
    )
    assert list(JsonlSource(path)) == [
        Row(key="alice", username="alice", alias="a", line=1),
        Row(key="k", username="bob", alias="b", line=3),
    ]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "must name the columns, with commas between; missing: username, alias"),
        ("username", "must name the columns, with commas between; missing: alias; found 'username'"),
        (
            "Username;Alias",
            "must name the columns, with commas between; missing: username, alias; found 'Username;Alias'",
        ),
        (
            "username\talias\tpassword",
            "must name the columns, with commas between; missing: username, alias; found "
            + repr("username\talias\tpassword"),
        ),
        ("bob,front-desk,s3cret", "must name the columns, with commas between; missing: username, alias"),
        ("username,alias,alias", "names a column twice"),
        (
            "username,alias,pasword",
            "there is no column 'pasword'; known are username, alias, password, app_id, key",
        ),
    ],
)
def test_a_bad_header(tmp_path: Path, header: str, reason: str) -> None:
    """A misspelt column is not overlooked: passwords would be made up instead of read."""
    assert list(csv_file(tmp_path, f"{header}\nalice,a,s3cret\n")) == [Problem(1, reason)]


async def test_every_bad_line_of_a_csv_file(tmp_path: Path) -> None:
    """Each is named, in order, and no reason shows a value."""
    lines = [
        b"username,alias,password,app_id",
        b"1st,a,s3cret,",
        b"bob,b,abc,",
        b"carol,c,,",
        b"dave,,s3cret,",
        b"eve,e,s3cret",
        b"frank,f,s3cret,../7",
        b"grace,g\x00,s3cret,",
        b"heidi,h\xff,s3cret,",
        b"ivan," + b"i" * 2000 + b",s3cret,",
        b"judy,j\x1b[2J,s3cret,",
    ]
    assert await problems(csv_file(tmp_path, b"\n".join(lines))) == [
        (2, "username: must be 1 to 25 ASCII letters and digits, the first a letter"),
        (3, "password: must be a string of at least 5 characters"),
        (4, "password: is missing, and PLIVO_PROVISION_KEY, to derive it from, is not set"),
        (5, "alias: is missing"),
        (6, "has 3 cells where 4 columns are named"),
        (7, "app_id: must be 1 to 64 letters, digits, '-' or '_'"),
        (8, "alias: holds a control character"),
        (9, "alias: is not UTF-8"),
        (10, "alias: is longer than 1024 characters"),
        (11, "alias: holds a control character"),
    ]


async def test_a_quote_that_never_closes(tmp_path: Path) -> None:
    """It does not swallow the rest of the file unseen."""
    found = await problems(csv_file(tmp_path, 'username,alias,password\nalice,"a,s3cret\nbob,b,s3cret\n'))
    assert [(line, reason.partition(" (")[0]) for line, reason in found] == [(3, "is not CSV")]


async def test_every_bad_line_of_json(tmp_path: Path) -> None:
    """Likewise."""
    path = tmp_path / "users.jsonl"
    lines = [
        "{",
        "[]",
        '{"username": 1, "alias": "a"}',
        '{"username": "a", "alias": "b", "x": "y"}',
        "[" * 9999,
        '{"username": "a", "alias": "b", "alias": "c"}',
    ]
    path.write_text("\n".join([*lines, " " * 70_000]))
    assert await problems(JsonlSource(path)) == [
        (1, "is not JSON"),
        (2, "is not a JSON object"),
        (3, "username: must be a string"),
        (4, "there is no field 'x'; known are username, alias, password, app_id, key"),
        (5, "is not JSON"),
        (6, "names a field twice"),
        (7, "is longer than 65536 characters; the rest was not read"),
    ]


async def test_duplicates(tmp_path: Path) -> None:
    """Of key, username or alias, however far apart, with the line that came first."""
    rows = [f"user{n}x,alias-{n},key-{n}" for n in range(1000)]
    rows += ["user1x,other-1,other-1", "other2,alias-2,other-2", "other3,other-3,key-3"]
    source = csv_file(tmp_path, "username,alias,key\n" + "\n".join(rows))
    assert await problems(source, derives=True) == [
        (1002, "username: is already that of line 3"),
        (1003, "alias: is already that of line 4"),
        (1004, "key: is already that of line 5"),
    ]


async def test_a_username_twice_without_keys(tmp_path: Path) -> None:
    """It is the key as well then, but that is not what the file calls it."""
    source = csv_file(tmp_path, "username,alias\nalice,a\nalice,b\n")
    assert await problems(source, derives=True) == [(3, "username: is already that of line 2")]


def test_the_error_names_the_first_twenty() -> None:
    """In its message; all are in `problems`."""
    error = SourceError(tuple(Problem(line, "is not JSON") for line in range(1, 31)))
    assert str(error).splitlines()[0] == "the source cannot be used"
    assert str(error).splitlines()[-1] == "and 10 more"
    assert len(error.problems) == 30

"""Files of rows: what is accepted, and what is refused, line by line."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from plivo_endpoints import InvalidArgumentError
from plivo_endpoints.provisioning import CsvSource, JsonlSource, Problem, Row, SourceError
from plivo_endpoints.provisioning._load import load
from plivo_endpoints.provisioning._passwords import Deriver
from plivo_endpoints.provisioning._rows import NO_PASSWORD
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._state._sqlite import SqliteState
from plivo_endpoints.provisioning._text_file import PrivateCopy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.provisioning import RowSource

BLANK = "must not begin or end with whitespace"
UNDECODABLE = (
    "is not valid in the file's encoding: pass the right one (--encoding), or save the file as UTF-8"
)
UNCLOSED = "opens a quote that is never closed; the rest was not read"
KNOWN = "username, alias, password, password_version, app_id, key"
PACKED = "is not a complete gzip file: compress it again"
UTF_16 = "is UTF-16: save it as UTF-8, or pass its encoding (--encoding utf-16)"
ALICE = b"username,alias,password\nalice,a,s3cret\n"
PACKED_ALICE = gzip.compress(ALICE, mtime=0)  # the same in each run, as its names of tests must be


async def found(source: RowSource, *, derives: bool = False) -> tuple[Problem, ...]:
    """Return what is wrong with a source."""
    state = SqliteState(None)
    await state.open()
    try:
        await load(state, source, Deriver("a master key of some length", "run") if derives else None)
    except SourceError as error:
        return error.problems
    finally:
        await state.close()
    return ()


async def problems(source: RowSource, *, derives: bool = False) -> list[tuple[int, str]]:
    """Return where something is wrong with a source, and what."""
    return [(problem.line, problem.reason) for problem in await found(source, derives=derives)]


def csv_file(folder: Path, content: str | bytes, **options: Any) -> CsvSource:
    """Write a CSV file."""
    path = folder / "users.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(path, **options)


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
        ("", "must name the columns, separated by commas; missing: username, alias"),
        ("username", "must name the columns, separated by commas; missing: alias; found 'username'"),
        (
            "Username;Alias",
            (
                "must name the columns, separated by commas; missing: username, alias; "
                "found 'Username;Alias'; "
                "if ';' separates them, pass it as the delimiter (--delimiter)"
            ),
        ),
        (
            "username\talias\tpassword",
            "must name the columns, separated by commas; missing: username, alias; found "
            + repr("username\talias\tpassword")
            + r"; if '\t' separates them, pass it as the delimiter (--delimiter)",
        ),
        ("bob,front-desk,s3cret", "must name the columns, separated by commas; missing: username, alias"),
        ("username,alias,alias", "names a column twice"),
        (
            "username,alias,pasword,team",
            (
                f"unknown column 'pasword', 'team'; known columns are {KNOWN}; "
                "to ignore a column: --ignore-column NAME, or ignore_columns= in Python"
            ),
        ),
    ],
)
def test_a_bad_header(tmp_path: Path, header: str, reason: str) -> None:
    """A misspelt column is reported: otherwise passwords would be derived instead of read."""
    assert list(csv_file(tmp_path, f"{header}\nalice,a,s3cret\n")) == [Problem(1, reason)]


async def test_every_bad_line_of_a_csv_file(tmp_path: Path) -> None:
    """All of them are reported, in order, and no reason shows a value."""
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
        b"ken,k,s3cret ,",
        b"2nd, l,abc,../7",
        b"mia\xff,,s3cret\t,",
    ]
    assert await problems(csv_file(tmp_path, b"\n".join(lines))) == [
        (2, "username: must be 1 to 25 ASCII letters and digits, the first a letter"),
        (3, "password: must be a string of at least 5 characters"),
        (4, f"password: {NO_PASSWORD}"),
        (5, "alias: is missing"),
        (6, "has 3 cells, but the header has 4 columns"),
        (7, "app_id: must be 1 to 64 letters, digits, '-' or '_'"),
        (8, "alias: contains a control character"),
        (9, f"alias: {UNDECODABLE}"),
        (10, "alias: is longer than 1024 characters"),
        (11, "alias: contains a control character"),
        (12, f"password: {BLANK}"),
        (
            13,
            (
                f"username: must be 1 to 25 ASCII letters and digits, the first a letter; alias: {BLANK}; "
                "password: must be a string of at least 5 characters; "
                "app_id: must be 1 to 64 letters, digits, '-' or '_'"
            ),
        ),
        (14, f"username: {UNDECODABLE}; alias: is missing; password: contains a control character"),
    ]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (['alice,"a,s3cret', "bob,b,s3cret"], 2),
        (["bob,b,s3cret", 'alice,"a,s3cret', *["carol,c,s3cret"] * 9000], 3),
        (["bob,b,s3cret", 'alice,"a,s3cret', 'carol,"c, d",s3cret', "dave,d,s3cret"], 3),
        (['bob,"b, c",s3cret', '"alice","a,s3cret'], 3),
        (['"bob', '","b', ',"s3cret', "alice,a,s3cret"], 3),
        (["bob,b,s3cret", 'alice,"a', '""b"",s3cret', "carol,c,s3cret"], 3),
    ],
)
async def test_a_quote_that_does_not_close(tmp_path: Path, lines: list[str], line: int) -> None:
    """The message has the line where it opens, not where the reader failed."""
    source = csv_file(tmp_path, "\n".join(["username,alias,password", *lines]))
    assert (await problems(source))[-1] == (line, UNCLOSED)


async def test_text_after_a_quote(tmp_path: Path) -> None:
    """It is not valid CSV either; an earlier quote, in another row, does not matter."""
    source = csv_file(tmp_path, 'username,alias\nalice,"a, ""b"" 5"""\nbea,5"\nbob,"b"c\n')
    ((line, reason),) = await problems(source, derives=True)
    assert (line, reason.partition(" (")[0]) == (4, "is not valid CSV")


def test_rows_of_commas_alone(tmp_path: Path) -> None:
    """Spreadsheets write them, with any number of cells: they count as blank lines."""
    source = csv_file(
        tmp_path, "username,alias,password\n,,\nalice,a,s3cret\n,,,,,\n ,\t,\n\nbob,b,s3cret\n,,"
    )
    assert [row.line for row in source] == [3, 7]


def test_options_of_csv(tmp_path: Path) -> None:
    """Delimiter, encoding, and columns to ignore, whatever they contain."""
    source = csv_file(
        tmp_path,
        'username;team;alias;;\nbea;"a\nb";caf\xe9, 1;\x01;\n'.encode("cp1252"),
        delimiter=";",
        encoding="cp1252",
        ignore_columns=["team", ""],
    )
    assert [Row(username="bea", alias="caf\xe9, 1")] == list(source)


async def test_a_column_that_is_read_past(tmp_path: Path) -> None:
    """An ignored column does not exist, even if its name is a known one."""
    source = csv_file(tmp_path, ALICE, ignore_columns=("password",))
    assert await problems(source) == [(2, f"password: {NO_PASSWORD}")]
    assert list(csv_file(tmp_path, ALICE, ignore_columns=("alias",))) == [
        Problem(
            1,
            "must name the columns, separated by commas; missing: alias; found 'username,alias,password'",
        )
    ]


def test_another_delimiter_is_named(tmp_path: Path) -> None:
    """The message suggests it if the header uses another delimiter."""
    ((problem,),) = [list(csv_file(tmp_path, ALICE, delimiter=";"))]
    assert isinstance(problem, Problem)
    assert problem.reason == (
        "must name the columns, separated by ';'; missing: username, alias; found 'username,alias,password'; "
        "if ',' separates them, pass it as the delimiter (--delimiter)"
    )


@pytest.mark.parametrize("name", ["no-such", "hex", "utf\0", 5])
@pytest.mark.parametrize("kind", [CsvSource, JsonlSource])
def test_an_encoding_that_is_none(kind: Callable[..., RowSource], name: Any) -> None:
    """It is refused at once."""
    with pytest.raises(InvalidArgumentError, match="encoding: must be a text encoding that Python"):
        kind("users.csv", encoding=name)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r"])
def test_a_delimiter_that_is_none(delimiter: str) -> None:
    """It is refused at once."""
    with pytest.raises(InvalidArgumentError, match="delimiter: must be one character"):
        CsvSource("users.csv", delimiter=delimiter)


def test_one_name_is_not_several() -> None:
    """A string would be taken for a collection of one-letter names."""
    with pytest.raises(InvalidArgumentError, match="ignore_columns: must be a collection of names"):
        CsvSource("users.csv", ignore_columns="team")


def test_packed_files(tmp_path: Path) -> None:
    """They are decompressed according to their name."""
    path = tmp_path / "users.csv.gz"
    path.write_bytes(gzip.compress(ALICE))
    alice = Row(username="alice", alias="a", password="s3cret")
    assert [alice] == list(CsvSource(path)) == list(CsvSource(path))
    path = tmp_path / "users.jsonl.GZ"
    path.write_bytes(gzip.compress(b'{"username": "alice", "alias": "a", "password": "s3cret"}'))
    assert [alice] == list(JsonlSource(path))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.csv", PACKED_ALICE, "is compressed with gzip: let its name end in .gz, or decompress it"),
        (
            "x.csv",
            b"PK\x03\x04\x14\0",
            "is an Excel workbook (xlsx) or another zip file: save the sheet as CSV",
        ),
        ("x.csv", ALICE.decode().encode("utf-16"), UTF_16),
        ("x.csv", ALICE.decode().encode("utf-16-le"), UTF_16),
        ("x.csv", ALICE.decode().encode("utf-16-be"), UTF_16),
        ("x.csv.gz", gzip.compress(ALICE.decode().encode("utf-16"), mtime=0), UTF_16),
        ("x.csv.gz", ALICE, PACKED),
        ("x.csv.gz", PACKED_ALICE[:-9], PACKED),
        ("x.csv.gz", PACKED_ALICE[:10] + b"\xff" * 30, PACKED),
        ("x.csv.gz", PACKED_ALICE[:-8] + b"\xff" * 8, PACKED),
    ],
)
@pytest.mark.parametrize("kind", [CsvSource, JsonlSource])
async def test_what_is_no_text(
    tmp_path: Path, kind: Callable[[Path], RowSource], name: str, content: bytes, reason: str
) -> None:
    """The format is named, with what to do, instead of reporting bad lines."""
    path = tmp_path / name
    path.write_bytes(content)
    problem, *_ = await found(kind(path))
    assert str(problem) == f"{path}: {reason}"


def test_utf_16(tmp_path: Path) -> None:
    """It is read if requested; a truncated character at the end is an error."""
    text = ALICE.decode().encode("utf-16")
    assert len(list(csv_file(tmp_path, text, encoding="utf-16"))) == 1
    *_, last = csv_file(tmp_path, text + b"x", encoding="utf-16")
    assert last == Problem(0, "is not valid utf-16: pass the right encoding")


@pytest.mark.parametrize("kind", [CsvSource, JsonlSource])
async def test_an_empty_file(tmp_path: Path, kind: Callable[[Path], RowSource]) -> None:
    """It is not taken for another format."""
    path = tmp_path / "users.x"
    path.touch()
    assert len(await found(kind(path))) == (kind is CsvSource)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["users.csv", "users.csv.gz", "users.jsonl"])
def test_memory_does_not_grow(tmp_path: Path, name: str) -> None:
    """Only one line and the buffers of gzip are in memory, however many lines there are."""
    lines = (f'{{"username": "user{n}x", "alias": "the row of {n}"}}' for n in range(30_000))
    if ".csv" in name:
        lines = ("username,alias" if n == 0 else f"user{n}x,the row of {n}" for n in range(30_001))
    content = "\n".join(lines).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    tracemalloc.start()
    try:
        assert sum(1 for _ in source_of(path)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 500_000 < len(content)
    finally:
        tracemalloc.stop()


def test_a_private_copy() -> None:
    """Each reader starts at the beginning, even if another has not reached the end."""
    rows = b"".join(b"user%dx,a%d\n" % (n, n) for n in range(9000))
    copy = PrivateCopy(io.BytesIO(b"username,alias\n" + rows), "a stream")
    source = CsvSource(copy)
    with closing(copy):
        pairs = list(zip(source, source, strict=True))
    assert (len(pairs), all(first == second for first, second in pairs)) == (9000, True)
    assert os.fspath(source.path) == "a stream"


async def test_a_line_without_end(tmp_path: Path) -> None:
    """It does not fill the memory."""
    source = csv_file(tmp_path, ALICE + b"x" * 70_000 + b"\n" + ALICE)
    assert await problems(source) == [(3, "is longer than 65536 characters; the rest was not read")]


async def test_every_bad_line_of_json(tmp_path: Path) -> None:
    """All of them are reported, in order, and no reason shows a value."""
    path = tmp_path / "users.jsonl"
    lines = [
        "{",
        "[]",
        '{"username": 1, "alias": "a"}',
        '{"username": "a", "alias": "b", "x": "y"}',
        "[" * 9999,
        '{"username": "a", "alias": "b", "alias": "c", "password": "s3cret"}',
        '{"username": "a", "alias": 5, "x": "y", "z": 0, "password": " s3cret", "app_id": 7}',
        '{"username": "a", "alias": false, "password": 0}',
    ]
    path.write_text("\n".join([*lines, " " * 70_000]))
    assert await problems(JsonlSource(path)) == [
        (1, "is not valid JSON"),
        (2, "is not a JSON object"),
        (3, f"username: must be a string; password: {NO_PASSWORD}"),
        (4, f"unknown field 'x'; known fields are {KNOWN}; password: {NO_PASSWORD}"),
        (5, "is not valid JSON"),
        (6, "names a field twice"),
        (
            7,
            (
                f"unknown field 'x', 'z'; known fields are {KNOWN}; "
                f"alias: must be a string; password: {BLANK}; app_id: must be a string"
            ),
        ),
        (8, "alias: must be a string; password: must be a string"),
        (9, "is longer than 65536 characters; the rest was not read"),
    ]


async def test_duplicates(tmp_path: Path) -> None:
    """A repeated key or username is reported with the first line that has it; aliases may repeat."""
    rows = [f"user{n}x,alias-{n},key-{n}" for n in range(1000)]
    rows += ["user1x,other-1,other-1", "other2,alias-2,other-2", "other3,other-3,key-3"]
    source = csv_file(tmp_path, "username,alias,key\n" + "\n".join(rows))
    assert await problems(source, derives=True) == [
        (1002, "username: is already used by line 3"),
        (1004, "key: is already used by line 5"),
    ]


async def test_a_username_twice_without_keys(tmp_path: Path) -> None:
    """It is also the key then, but the message names it as in the file."""
    source = csv_file(tmp_path, "username,alias\nalice,a\nalice,b\n")
    assert await problems(source, derives=True) == [(3, "username: is already used by line 2")]


async def test_all_that_is_wrong_with_a_line(tmp_path: Path) -> None:
    """What it shares with others is reported together with its own problems."""
    source = csv_file(
        tmp_path,
        "username,alias,password,key\nalice,a,s3cret,one\nalice,a,abc,one\nbob,b,abc,\nbob,c,s3cret,\n",
    )
    assert await problems(source) == [
        (
            3,
            (
                "password: must be a string of at least 5 characters; username: is already used by line 2; "
                "key: is already used by line 2"
            ),
        ),
        (4, "password: must be a string of at least 5 characters"),
        (5, "username: is already used by line 4"),
    ]


async def test_the_key_of_a_bad_line(tmp_path: Path) -> None:
    """It is shown unless it may be a password in the wrong column."""
    source = csv_file(
        tmp_path,
        "username,alias,password,key\nalice, a,s3cret,\nbob, b,s3cret,k 1\ns3cret!,c,x,\ndave,d,ab,ab\n"
        "eve, e,s3cret,\x01\nfay\n",
    )
    assert [
        str(problem).partition(": ")[0].removeprefix(str(source.path)) for problem in await found(source)
    ] == [
        ", line 2, key 'alice'",
        ", line 3, key 'k 1'",
        ", line 4",
        ", line 5",
        ", line 6",
        ", line 7",
    ]


def test_the_error_names_the_first_fifty() -> None:
    """The message has fifty; `problems` has all."""
    error = SourceError(tuple(Problem(line, "is not valid JSON", None, "x.jsonl") for line in range(1, 61)))
    assert str(error).splitlines()[:2] == ["the source cannot be used", "x.jsonl, line 1: is not valid JSON"]
    assert (len(str(error).splitlines()), str(error).splitlines()[-1]) == (52, "and 10 more")
    assert len(error.problems) == 60

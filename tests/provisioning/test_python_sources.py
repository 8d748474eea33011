"""What is accepted as a source in Python, and what is not."""

from __future__ import annotations

import gzip
import os
import sqlite3
import threading
from collections import UserList, deque
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from plivo_endpoints import Client, InvalidArgumentError
from plivo_endpoints.provisioning import AsyncFleet, CsvSource, Problem, Row, SourceError
from plivo_endpoints.provisioning._rows import NO_PASSWORD
from plivo_endpoints.provisioning._source import source_of
from tests.provisioning.fleets import apply, plan, read_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import Plan, Source
    from plivo_endpoints.sandbox import Sandbox
    from tests.provisioning.conftest import Ended

    Apply = Callable[..., Awaitable[Ended]]

ALICE = Row(username="alice", alias="a", password="s3cret")
MAPPING = {"username": "alice", "alias": "a", "password": "s3cret"}


def steps(planned: Plan) -> list[tuple[str, str]]:
    """Return the key and kind of each step."""
    return [(step.key, step.kind) for step in planned.steps]


def test_a_row_without_a_key() -> None:
    """Its key is the username, however it is created."""
    assert [row.key for row in (ALICE, Row(username="b", alias="b", key=""))] == ["alice", "b"]
    assert Row(username="b", alias="b", key="k").key == "k"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", b"username,alias,password\nalice,a,s3cret\n"),
        ("users", b"username,alias,password\nalice,a,s3cret\n"),
        ("users.csv.gz", gzip.compress(b"username,alias,password\nalice,a,s3cret\n", mtime=0)),
        ("users.jsonl", b'{"username": "alice", "alias": "a", "password": "s3cret"}'),
        (
            "users.NDJSON.gz",
            gzip.compress(b'{"username": "alice", "alias": "a", "password": "s3cret"}', mtime=0),
        ),
    ],
)
async def test_a_path(client: AsyncClient, tmp_path: Path, applied: Apply, name: str, content: bytes) -> None:
    """A path as text or `Path` works wherever a source is accepted."""
    path = tmp_path / name
    path.write_bytes(content)
    assert steps(await plan(client, str(path))) == [("alice", "create")]
    assert [outcome.key for outcome in (await applied(path)).outcomes] == ["alice"]
    assert [told.password async for told in read_credentials(tmp_path / "run.db", path)] == ["s3cret"]


class Text(str):
    """Text of another library's, as numpy has it."""

    __slots__ = ()


@pytest.mark.parametrize("row", [ALICE, MAPPING, {**MAPPING, "alias": Text("a"), "key": None, "app_id": ""}])
@pytest.mark.parametrize("kind", [list, tuple, UserList, deque])
def test_a_collection(kind: Callable[[list[Any]], Any], row: Any) -> None:
    """Of rows or mappings; anything that can be read twice is accepted."""
    source = source_of(kind([row]))
    assert [ALICE] == list(source) == list(source)


def test_a_file_stays_what_it_is() -> None:
    """A file source is used as it is."""
    source: Source = CsvSource("users.txt", delimiter=";")
    assert source_of(source) is source


async def test_a_line_that_was_added(applied: Apply, tmp_path: Path) -> None:
    """It makes the source invalid, after a run as before one: nothing is sent."""
    path = tmp_path / "users.csv"
    path.write_text("username,alias,password\nalice,a,s3cret\n")
    await applied(path)
    with path.open("a") as file:
        file.write("bob\n")
    with pytest.raises(SourceError, match="line 3: has 1 cells"):
        await applied(path)


class Twice:
    """A source object of a user's own, whose rows have lines."""

    def __iter__(self) -> Iterator[Row | Problem]:
        yield Row(username="alice", alias=" a", line=7)
        yield Problem(8, "is no row", file="other.csv")


async def test_reading_does_not_hold_up_the_loop(client: AsyncClient) -> None:
    """The source is read in a thread."""
    threads: set[int] = set()

    class Noting:
        def __iter__(self) -> Iterator[Row]:
            threads.add(threading.get_ident())
            yield ALICE

    assert steps(await plan(client, Noting())) == [("alice", "create")]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


async def test_a_source_object(client: AsyncClient) -> None:
    """It gives the lines of its rows, and what cannot be read."""
    with pytest.raises(SourceError) as raised:
        await plan(client, Twice())
    assert str(raised.value).splitlines()[1:] == [
        f"row 7, key 'alice': alias: must not begin or end with whitespace; password: {NO_PASSWORD}",
        "other.csv, line 8: is no row",
    ]


async def test_rows_of_a_database(client: AsyncClient) -> None:
    """Read as the docs show."""
    with closing(sqlite3.connect(":memory:")) as db:
        cursor = db.execute("SELECT 'alice' AS username, 'a' AS alias, 's3cret' AS password, NULL AS app_id")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, values, strict=True)) for values in cursor]
    assert list(source_of(rows)) == [ALICE]
    assert steps(await plan(client, rows)) == [("alice", "create")]


async def test_bad_rows_in_memory(client: AsyncClient, sandbox: Sandbox) -> None:
    """The rules are those of a JSON line; rows are numbered, and all problems are reported."""
    bad: list[Any] = [
        ALICE,
        {**MAPPING, "pasword": "x", 5: None},
        {"username": "bob", "alias": float("nan"), "app_id": 7},
        Row(username="carol", alias=None, password=b"s3cret"),  # type: ignore[arg-type]
        Row(username="dave", alias="d", password="", line=70),
        "username",
        ("alice", "a"),
        {},
    ]
    with pytest.raises(SourceError) as raised:
        await plan(client, bad)
    known = "known fields are username, alias, password, password_version, app_id, key"
    assert str(raised.value).splitlines()[1:] == [
        f"row 2, key 'alice': unknown field 'pasword', 5; {known}",
        f"row 3, key 'bob': alias: must be a string; app_id: must be a string; password: {NO_PASSWORD}",
        "row 4, key 'carol': alias: is missing; password: must be a string",
        "row 6: is neither a Row nor a mapping",
        "row 7: is neither a Row nor a mapping",
        f"row 8: username: is missing; alias: is missing; password: {NO_PASSWORD}",
        "row 70, key 'dave': password: must be a string of at least 5 characters",
    ]
    assert sandbox.requests == ()


async def test_rows_that_share_something(client: AsyncClient) -> None:
    """The message has the number of the other row."""
    other = {**MAPPING, "username": "bob", "key": "alice"}
    rows: list[Row | dict[str, str]] = [ALICE, {**MAPPING, "key": "bob"}, other]
    with pytest.raises(SourceError) as raised:
        await plan(client, rows)
    assert list(raised.value.problems) == [
        Problem(2, "username: is already used by row 1", "bob"),
        Problem(3, "key: is already used by row 1", "alice"),
    ]


async def _rows_later() -> AsyncGenerator[Row]:
    yield ALICE


class Frame:
    """As far as it matters, a table of pandas' or polars'."""

    columns = property(lambda _: ["username", "alias"])
    shape = property(lambda _: (1, 2))

    def __iter__(self) -> Iterator[str]:
        return iter(["username", "alias"])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((row for row in [ALICE]), "must be readable more than once: pass a list of its items"),
        (iter([ALICE]), "must be readable more than once"),
        (map(str, []), "must be readable more than once"),
        (_rows_later(), "must not be an async iterable, as it is read in a thread: collect its rows"),
        (Frame(), 'must be rows, not a data frame: pass df.to_dict("records") (pandas) or df.to_dicts()'),
        (Client("MA000000000000000000", "token"), "must be rows, not a client: the client is the first"),
        (MAPPING, "must be a path, a source object, or a list of rows or mappings, not dict"),
        (ALICE, "must be a path, a source object, or a list of rows or mappings, not Row"),
        (None, "must be a path, a source object, or a list of rows or mappings, not NoneType"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_no_source(
    client: AsyncClient, sandbox: Sandbox, tmp_path: Path, given: Any, reason: str
) -> None:
    """One sentence says so, wherever a source is accepted, before anything is sent or created."""
    raised: list[InvalidArgumentError] = []
    for call in (
        lambda: plan(client, given, state=tmp_path / "run.db"),
        lambda: apply(client, given, state=tmp_path / "run.db").__aenter__(),
        lambda: anext(read_credentials(tmp_path / "run.db", given)),
    ):
        with pytest.raises(InvalidArgumentError) as error:
            await call()
        raised.append(error.value)
    assert [(error.field, error.rule[: len(reason)]) for error in raised] == [("source", reason)] * 3
    assert (sandbox.requests, os.listdir(tmp_path)) == ((), [])  # noqa: PTH208


async def test_an_open_file_is_no_source(client: AsyncClient, tmp_path: Path) -> None:
    """Pass its path instead."""
    (tmp_path / "users.csv").write_text("username,alias\n")
    with (tmp_path / "users.csv").open() as file:
        given: Any = file
        with pytest.raises(InvalidArgumentError, match="or the path of a file"):
            await plan(client, given)


def test_a_blocking_client(tmp_path: Path) -> None:
    """It is refused with a clear message, before it could fail later."""
    given: Any = Client("MA000000000000000000", "token")
    state = tmp_path / "run.db"
    with pytest.raises(InvalidArgumentError, match="client: must be an AsyncClient"):
        AsyncFleet(given, state)
    assert not state.exists()

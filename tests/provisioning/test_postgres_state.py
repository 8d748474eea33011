"""What is particular to a state in PostgreSQL: what goes wrong with a database, and the command line."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from attrs import evolve

from plivo_endpoints import AsyncClient, InvalidArgumentError
from plivo_endpoints.provisioning import AsyncFleet, Entry, PostgresState, Row, Spec, StateError
from plivo_endpoints.provisioning._state import _database, _postgres_tables
from plivo_endpoints.provisioning._state._protocol import opened
from tests.postgres import PASSWORD, PostgresServer, running_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from plivo_endpoints.sandbox import Sandbox

KEY = "a master key of the tests"


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """Give the URL of an empty database."""
    return postgres.new_database()


def name_of(database: str) -> str:
    """Return a database's name."""
    return database.rsplit("/", 1)[1]


async def open_error(state: PostgresState) -> str:
    """Return why a state cannot be opened."""
    with pytest.raises(StateError) as caught:
        async with opened(state):
            pass
    return str(caught.value)


async def test_a_server_that_is_not_there() -> None:
    """One line says which database, and why; it has no password."""
    error = await open_error(PostgresState("postgresql://owner:a-secret@127.0.0.1:1/fleets"))
    assert error.startswith("cannot use postgresql://127.0.0.1:1/fleets: ")
    assert "Connection refused" in error
    assert "\n" not in error
    assert "a-secret" not in error


async def test_a_wrong_password(postgres: PostgresServer) -> None:
    """The server's words, without the password."""
    error = await open_error(PostgresState(postgres.url(password="a-wrong-secret")))
    assert 'password authentication failed for user "owner"' in error
    assert "a-wrong-secret" not in error


async def test_a_user_without_rights(postgres: PostgresServer, database: str) -> None:
    """They cannot create the tables; once the owner has, they need no more than to change rows."""
    postgres.execute("DROP ROLE IF EXISTS clerk")
    postgres.execute("CREATE ROLE clerk LOGIN PASSWORD 'secret'")
    url = postgres.url(name_of(database), user="clerk", password="secret")
    assert "permission denied for schema public" in await open_error(PostgresState(url))
    assert await PostgresState(database).upgrade() == (0, 1)
    assert "permission denied for table plivo_schema" in await open_error(PostgresState(url))
    for grant in ("TABLES", "SEQUENCES"):
        postgres.execute(f"GRANT ALL ON ALL {grant} IN SCHEMA public TO clerk", name_of(database))
    async with opened(PostgresState(url)) as state:
        await state.note({"account": "A"})


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (0, "has tables of an older version of this program: run `plivo-endpoints provision state upgrade`"),
        (2, "has tables of a newer version of this program: install that version"),
    ],
)
async def test_tables_of_another_version(
    postgres: PostgresServer, database: str, version: int, expected: str
) -> None:
    """They are left alone, and what to do is said."""
    await PostgresState(database).upgrade()
    update = "UPDATE plivo_schema SET version ="
    postgres.execute(f"{update} {version}", name_of(database))
    for state in (PostgresState(database), PostgresState(database, read_only=True)):
        assert expected in await open_error(state)


async def test_an_upgrade(postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version's changes are made in order, in one transaction, and only once."""
    await PostgresState(database).upgrade()
    later = (("CREATE TABLE later (x int)",), ("ALTER TABLE later ADD COLUMN y int",))
    monkeypatch.setattr(_postgres_tables, "MIGRATIONS", (*_postgres_tables.MIGRATIONS, *later, ("no SQL",)))
    with pytest.raises(StateError, match="syntax error"):
        await PostgresState(database).upgrade()
    monkeypatch.setattr(_postgres_tables, "MIGRATIONS", _postgres_tables.MIGRATIONS[:-1])
    assert await PostgresState(database).upgrade() == (1, 3)
    assert await PostgresState(database).upgrade() == (3, 3)
    assert postgres.execute("SELECT x, y FROM later", name_of(database)) == []


async def test_a_database_with_another_encoding(postgres: PostgresServer) -> None:
    """It could not store every alias."""
    postgres.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    assert "its encoding must be UTF8" in await open_error(PostgresState(postgres.url("old")))


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'plivo-endpoints\[postgres\]'"):
        PostgresState("postgresql://127.0.0.1/fleets")


def test_how_a_state_is_shown() -> None:
    """Without its password."""
    state = PostgresState("postgresql://owner:a-secret@db.example:5433/fleets", "sales")
    assert str(state) == "postgresql://owner@db.example:5433/fleets#sales"
    assert "a-secret" not in repr(state)
    assert (
        str(PostgresState("postgresql://owner@db.example/fleets")) == "postgresql://owner@db.example/fleets"
    )


async def test_a_database_with_other_defaults(postgres: PostgresServer, database: str) -> None:
    """Claims depend on the isolation; and a stopped process must not keep its locks, nor a commit be lost."""
    defaults = {
        "default_transaction_isolation": "serializable",
        "idle_in_transaction_session_timeout": "0",
        "synchronous_commit": "off",
    }
    for name, value in defaults.items():
        postgres.execute(f"ALTER DATABASE {name_of(database)} SET {name} = '{value}'")
    async with opened(PostgresState(database)) as state:
        shown = [(await state._fetch(f"SHOW {name}"))[0][0] for name in defaults]
    assert shown == ["read committed", "5s", "on"]


async def test_a_connection_too_few(postgres: PostgresServer, database: str) -> None:
    """A state needs two; the error says so in the server's words."""
    postgres.execute("DROP ROLE IF EXISTS lonely")
    postgres.execute("CREATE ROLE lonely LOGIN PASSWORD 'secret' CONNECTION LIMIT 1")
    postgres.execute("GRANT ALL ON SCHEMA public TO lonely", name_of(database))
    url = postgres.url(name_of(database), user="lonely", password="secret")
    assert "too many connections for role" in await open_error(PostgresState(url))


async def test_a_null_character(database: str) -> None:
    """PostgreSQL cannot store one; what Plivo answered is kept as far as possible."""
    wanted = Spec(username="alice", alias="desk")
    entry = Entry(number=1, line=1, key="alice", wanted=wanted)
    async with opened(PostgresState(database)) as state:
        await state.add([entry])
        await state.take_up({})
        await state.save([(entry, evolve(entry, made_as="alice\0"))])
        assert await state.find_key("alice") == evolve(entry, made_as="alice\ufffd")


@pytest.mark.slow
async def test_a_database_that_goes_away(
    client: AsyncClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent until it is back, which is told; then the run goes on. Later it ends with an error."""
    rows = [Row(username=f"user{n}x", alias=f"row-{n}", password="secret") for n in range(1500)]
    with running_server() as server:
        async with AsyncFleet(client, server.url()).apply(rows, settle=0.3) as run:
            outcomes = aiter(run)
            for _ in range(100):
                await anext(outcomes)
            server.stop()
            while not any("nothing is sent until it can" in text for text in caplog.messages):
                await anext(outcomes, None) if not run.progress.counts["unprocessed"] else None
                await client.endpoints.list_page(limit=1)
            before = len(sandbox.endpoints)
            assert before < 1500
            server.start()
            async for _ in outcomes:
                pass
        assert run.report.exit_status == 0
        assert any("can be used again" in text for text in caplog.messages)
    assert len(sandbox.endpoints) == 1500


async def test_a_database_that_stays_away(
    client: AsyncClient, database: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends after a while, and says why."""
    monkeypatch.setattr(_database, "_PATIENCE", 0.2)
    state = PostgresState(database)
    await state.open()
    postgres.execute(f"ALTER DATABASE {name_of(database)} ALLOW_CONNECTIONS false")
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
    postgres.execute(f"{end} '{name_of(database)}'")
    with pytest.raises(StateError, match="is not currently accepting connections"):
        await state.facts()
    await state.close()
    del client


# -- the command line


@pytest.mark.slow
def test_the_life_of_a_fleet(
    account: Sandbox,
    run: Callable[..., Result],
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Plan, apply, results, status, edit, apply: as with a file, and no secret gets into the database."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", KEY)
    database = postgres.new_database()
    state = ("--state", f"{database}#sales")
    (tmp_path / "users.csv").write_text("username,alias,password\nalice,desk,canary-1\nbob,hall,\n")
    first = run("plan", "users.csv", *state)
    assert (first.exit_code, "2 to create" in first.output) == (0, True), first.output
    assert run("status", *state).exit_code == 1  # no run has begun
    applied = run("apply", "users.csv", *state, "--settle", "0.2", "--results", "made.jsonl", "--rate", "200")
    assert (applied.exit_code, len(account.endpoints)) == (0, 2)
    results = (tmp_path / "made.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in results] == ["created"] * 2
    status = json.loads(run("status", *state, "--json").stdout)
    assert (status["counts"]["created"], "workers" in status) == (2, False)
    (tmp_path / "users.csv").write_text("username,alias,password\nalice,desk 2,canary-1\n")
    edited = run("apply", "users.csv", *state, "--delete", "--delete-limit", "1", "--settle", "0.2")
    assert (edited.exit_code, len(account.endpoints)) == (0, 1)
    assert run("audit", *state).exit_code == 0
    assert run("drift", *state).exit_code == 0
    secret = run("results", *state, "--passwords", "users.csv", "--out", "secret.jsonl")
    assert (secret.exit_code, "canary-1" in (tmp_path / "secret.jsonl").read_text()) == (0, True)
    said = "".join(each.output for each in (first, applied, edited, secret))
    log = postgres.log.read_text()
    assert "plivo_rows" in log
    for text in ("canary-1", KEY, account.auth_token, PASSWORD):
        assert text not in said
        assert text not in log
    assert account.auth_token not in str(dump(database))


def dump(database: str) -> list[Any]:
    """Return all that a database has."""
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [connection.execute(f"TABLE {table}".encode()).fetchall() for (table,) in tables]


@pytest.mark.slow
def test_workers_on_the_command_line(
    account: Sandbox,
    run: Callable[..., Result],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A source is enqueued, and workers go through it; `status` shows who is at it."""
    monkeypatch.setenv("PLIVO_PROVISION_KEY", KEY)
    lines = "".join(f"user{number}x,row {number}\n" for number in range(200))
    (tmp_path / "users.csv").write_text(f"username,alias\n{lines}")
    state = ("--state", database)
    enqueued = run("enqueue", "users.csv", *state)
    assert (enqueued.exit_code, enqueued.output) == (
        0,
        "Queued 200 rows for workers.\n",
    )
    assert len(account.requests) == 0
    worked: list[Result] = []
    worker = threading.Thread(
        target=lambda: worked.append(run("work", *state, "--settle", "0.2", "--rate", "60"))
    )
    worker.start()
    shown = run("status", *state)
    while "leader" not in shown.output and worker.is_alive():
        shown = run("status", *state)
    worker.join()
    assert (worked[0].exit_code, len(account.endpoints)) == (0, 200)
    assert "1 process works on it" in shown.output
    assert run("work", *state).exit_code == 0
    assert json.loads(run("state", "upgrade", *state, "--json").stdout) == {"before": 1, "after": 1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("work", "--state", "fleet.db"), "must be a postgresql:// URL: a file is for one process at a time"),
        (("work",), "Missing option '--state'"),
        (("status", "--state", "postgresql://h/d?nonsense=1"), "is not the URL of a PostgreSQL database"),
        (("status", "--state", "postgresql://h/d#"), "must have the fleet's name after the #"),
        (("apply", "users.csv", "--state", "postgresq://h/d"), "or a URL that begins with postgresql://"),
        (("apply", "users.csv", "--state", "postgresql:h#d"), "or a URL that begins with postgresql://"),
        (("enqueue", "users.csv", "--state", "postgresql://h/d", "--delete-limit", "1"), "needs --delete"),
    ],
)
@pytest.mark.usefixtures("account")
def test_wrong_usage(
    run: Callable[..., Result], tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """One line, exit 2."""
    (tmp_path / "users.csv").write_text("username,alias\nalice,desk\n")
    result = run(*arguments)
    assert (result.exit_code, expected in result.output) == (2, True), result.output


@pytest.mark.usefixtures("account")
def test_a_database_that_is_away_at_the_start(run: Callable[..., Result], tmp_path: Path) -> None:
    """The command fails, with the reason and without the password."""
    (tmp_path / "users.csv").write_text("username,alias,password\nalice,desk,secret\n")
    state = ("--state", "postgresql://owner:a-secret@127.0.0.1:1/fleets")
    for command in (("apply", "users.csv"), ("plan", "users.csv"), ("status",)):
        result = run(*command, *state)
        assert result.exit_code == 1, result.output
        assert "Error: cannot use postgresql://127.0.0.1:1/fleets: " in result.output
        assert "a-secret" not in result.output
        assert len(result.output.splitlines()) == 1

"""The module on the page about web frameworks that creates one phone for each name, whatever happens."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from plivo_endpoints import BadRequestError, Client
from plivo_endpoints.sandbox import Fault
from tests.docs.pages import DOCS, Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox

    Create = Callable[[str], str | None]

LOST: Final = Fault(applied=True, reset=True)
NOT_CARRIED_OUT: Final = Fault(applied=False, reset=True)


@pytest.fixture
def create(blocking_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Create:
    """Give the page's function, with an empty database."""
    monkeypatch.chdir(tmp_path)
    blocks = Page.read(DOCS / "guides" / "web-frameworks.md").blocks
    (code,) = [block.code for block in blocks if block.file_name == "phones.py"]
    names: dict[str, Any] = {"__name__": "phones"}
    exec(compile(code, "phones.py", "exec"), names)  # noqa: S102 - the point
    function: Callable[[Client, str], str | None] = names["create"]
    return lambda name: function(blocking_client, name)


def change(statement: str) -> None:
    """Change what the database has."""
    with closing(sqlite3.connect("phones.db")) as database, database:
        database.execute(statement)


def test_it_is_called_again(create: Create, threaded_sandbox: Sandbox) -> None:
    """The endpoint is the same, and others have their own."""
    first = create("alice")
    assert (first, True) == (create("alice"), first in threaded_sandbox.endpoints)
    assert first != create("bob")
    assert {"alice": 1, "bob": 1} == threaded_sandbox.applied_creates


def test_the_answer_is_lost(create: Create, threaded_sandbox: Sandbox) -> None:
    """The endpoint is found at once."""
    threaded_sandbox.inject(LOST, method="POST")
    assert create("alice") == next(iter(threaded_sandbox.endpoints))
    assert create("alice") == next(iter(threaded_sandbox.endpoints))
    assert {"alice": 1} == threaded_sandbox.applied_creates


def test_the_process_dies_before_it_records_the_endpoint(create: Create, threaded_sandbox: Sandbox) -> None:
    """The next one finds it."""
    made = create("alice")
    change("UPDATE phones SET endpoint_id = NULL")
    assert (made, made) == (create("alice"), create("alice"))
    assert {"alice": 1} == threaded_sandbox.applied_creates


def test_nothing_was_created(create: Create, threaded_sandbox: Sandbox) -> None:
    """It is not known until it is certain; then it is created."""
    threaded_sandbox.inject(NOT_CARRIED_OUT, method="POST")
    assert (None, None) == (create("alice"), create("alice"))
    change("UPDATE phones SET sent_at = '2026-01-01T00:00:00+00:00'")
    assert create("alice") == next(iter(threaded_sandbox.endpoints))
    assert {"alice": 1} == threaded_sandbox.applied_creates


def test_plivo_refuses(create: Create, threaded_sandbox: Sandbox) -> None:
    """The error is raised, and it can be tried again."""
    threaded_sandbox.inject(Fault(applied=False, status=400), method="POST")
    with pytest.raises(BadRequestError):
        create("alice")
    assert create("alice") in threaded_sandbox.endpoints


def test_several_may_be_it(create: Create, threaded_sandbox: Sandbox, blocking_client: Client) -> None:
    """A person decides."""
    create("alice")
    change("UPDATE phones SET endpoint_id = NULL")
    (alias,) = [endpoint.alias for endpoint in threaded_sandbox.endpoints.values()]
    blocking_client.endpoints.create(username="alice", password="s3cret", alias=alias)
    with pytest.raises(LookupError, match=alias):
        create("alice")

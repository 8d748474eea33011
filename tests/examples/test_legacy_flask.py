"""The example of a blocking application: two workers of gunicorn, and answers to creates that are lost."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from runpy import run_path
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.sandbox import Fault
from tests.examples.browsing import Visitor
from tests.examples.conftest import EXAMPLES
from tests.services.service import skip_without, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox
    from tests.services.service import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Name the application's database."""
    return tmp_path / "phones.db"


@pytest.fixture(params=["True", "False"], ids=["preload", "no preload"])
def service(
    request: pytest.FixtureRequest, start: Callable[..., Service], tmp_path: Path, database: Path
) -> Service:
    """Run the application with its settings, imported before the fork or after it."""
    skip_without("flask", "gunicorn")
    settings = tmp_path / "settings.py"
    settings.write_text(
        f"import runpy\nglobals().update(runpy.run_path('gunicorn.conf.py'))\npreload_app = {request.param}\n"
    )
    words = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--config", str(settings), "app:app")
    return start("legacy_flask", *words, PHONES_DB=str(database), FLASK_SECRET_KEY="of-the-tests")


@pytest.fixture
def visitor(service: Service) -> Visitor:
    """Give a browser that looks at the application."""
    return Visitor(service.wait_for(r"Listening at: (http://\S+)"))


def state_of(name: str, page: str) -> str | None:
    """Return what the page says about a colleague's phone."""
    found = re.search(rf"<td>{name}</td>\s*<td>(\w+)", page)
    return found and found[1]


def let_an_hour_pass(database: Path) -> None:
    """Date back what was sent."""
    with closing(sqlite3.connect(database)) as connection, connection:
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        connection.execute("UPDATE phones SET sent_at = ?", (an_hour_ago.isoformat(),))


def test_answers_are_lost(
    service: Service, visitor: Visitor, database: Path, threaded_sandbox: Sandbox
) -> None:
    """However often somebody clicks, each colleague has one phone in the end, and the page never lies."""
    assert "ready" == state_of("alice", visitor.post("/phones", name="alice").text)

    threaded_sandbox.inject(Fault(applied=True, reset=True), method="POST")
    assert "ready" == state_of("bob", visitor.post("/phones", name="bob").text)

    threaded_sandbox.inject(Fault(applied=False, reset=True), method="POST")
    assert "unknown" == state_of("carol", visitor.post("/phones", name="carol").text)
    again = visitor.post("/phones", name="carol").text
    assert "carol has a phone already, or it is being created" in again
    assert "may still appear" in visitor.post("/phones/carol/look").text

    with ThreadPoolExecutor(6) as pool:
        clicks = [pool.submit(visitor.post, "/phones", name="dora") for _ in range(6)]
    assert [200] * 6 == [click.result().status for click in clicks]
    assert "cannot be a name" in visitor.post("/phones", name="no good").text
    assert {"alice": 1, "bob": 1, "dora": 1} == threaded_sandbox.applied_creates

    let_an_hour_pass(database)
    assert "carol was not created" in visitor.post("/phones/carol/look").text
    assert "ready" == state_of("carol", visitor.post("/phones", name="carol").text)
    assert {"alice": 1, "bob": 1, "carol": 1, "dora": 1} == threaded_sandbox.applied_creates
    assert (0, []) == (service.terminate(), service.complaints())


def test_a_worker_is_killed(service: Service, visitor: Visitor, threaded_sandbox: Sandbox) -> None:
    """The phone that it was creating is neither forgotten nor created again."""
    threaded_sandbox.inject(Fault(applied=True, latency=300), method="POST")
    with ThreadPoolExecutor(1) as pool:
        click = pool.submit(visitor.post, "/phones", name="alice")
        wait_until(lambda: bool(threaded_sandbox.endpoints))
        for pid in re.findall(r"Booting worker with pid: (\d+)", service.output):
            os.kill(int(pid), signal.SIGKILL)
        with pytest.raises(OSError, match=r"closed|reset"):
            click.result()
    assert "unknown" == state_of("alice", visitor.post("/phones", name="alice").text)
    assert "ready" == state_of("alice", visitor.post("/phones/alice/look").text)
    assert {"alice": 1} == threaded_sandbox.applied_creates


def test_two_people_look_at_once(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If both see that nothing was created, the second does not forget the create that came in between."""
    monkeypatch.setenv("PHONES_DB", str(database))
    store = run_path(str(EXAMPLES / "legacy_flask" / "store.py"))
    for alias in ("alice-1", "alice-2"):
        assert store["claim"]("alice", alias)
        store["remove"]("alice-1")
    assert not store["claim"]("alice", "alice-3")


def test_it_becomes_certain_during_a_look(
    database: Path,
    threaded_sandbox: Sandbox,
    point_to: Callable[[Sandbox], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look that began before proves nothing: the create may be carried out after the list is read."""
    skip_without("flask")
    point_to(threaded_sandbox)
    monkeypatch.setenv("PHONES_DB", str(database))
    monkeypatch.setenv("FLASK_SECRET_KEY", "of-the-tests")
    monkeypatch.syspath_prepend(EXAMPLES / "legacy_flask")
    application = run_path(str(EXAMPLES / "legacy_flask" / "app.py"))
    application["store"].claim("alice", "alice-1")
    certain = timedelta(seconds=application["TIMEOUT"] + application["SETTLE"])
    with closing(sqlite3.connect(database)) as connection, connection:
        sent_at = datetime.now(UTC) - certain + timedelta(seconds=0.5)
        connection.execute("UPDATE phones SET sent_at = ?", (sent_at.isoformat(),))
    threaded_sandbox.inject(Fault(applied=True, latency=1), method="GET")
    with application["client"], application["app"].test_client() as browser:
        look = browser.post("/phones/alice/look", follow_redirects=True)
        assert "may still appear" in look.text
        look = browser.post("/phones/alice/look", follow_redirects=True)
        assert "alice was not created" in look.text


def test_the_demo(start: Callable[..., Service]) -> None:
    """Its one command serves it on a sandbox that loses answers; the page knows which phones are ready."""
    skip_without("flask", "gunicorn")
    demo = start("legacy_flask", "demo.py", "0")
    visitor = Visitor(demo.wait_for(r"Listening at: (http://\S+)"))
    names = [f"user{number}" for number in range(20)]
    pages = {name: visitor.post("/phones", name=name).text for name in names}
    assert {"ready", "unknown"} == {state_of(name, page) for name, page in pages.items()}
    assert (0, []) == (demo.terminate(), demo.complaints())

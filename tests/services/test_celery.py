"""Celery's workers with a client of the whole module, which the forked ones inherit."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from plivo_endpoints.sandbox import Fault
from tests.docs.pages import DOCS, Page
from tests.services.service import skip_without, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plivo_endpoints.sandbox import Sandbox
    from tests.services.service import Service

pytestmark = pytest.mark.slow

USERNAMES: Final = [f"user{number}" for number in range(10)]


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_tasks_create_endpoints(
    pool: str, launch: Callable[..., Service], threaded_sandbox: Sandbox, tmp_path: Path
) -> None:
    """Each task creates one endpoint; the worker ends on SIGTERM, and nothing was complained about."""
    skip_without("celery", *(("gevent",) if pool == "gevent" else ()))
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    folder = {"CELERY_FOLDER": str(tmp_path)}
    options = ("--pool", pool, "--concurrency", "2", "--loglevel", "INFO")
    sender = launch("celery_send", *USERNAMES, **folder)
    # A worker that were there before them could read a file of this broker that is not whole yet.
    wait_until(lambda: len(list((tmp_path / "queue").iterdir())) == len(USERNAMES))
    worker = launch("celery", "--app", "celery_tasks", "worker", *options, **folder)
    assert sender.wait() == 0
    assert sorted(threaded_sandbox.endpoints) == sorted(sender.output.split())
    assert dict.fromkeys(USERNAMES, 1) == threaded_sandbox.applied_creates
    assert (worker.terminate(), worker.complaints()) == (0, []), worker.output


SHOW_PROCESS: Final = """
import os
from celery.signals import task_prerun

@task_prerun.connect
def show_process(**_):
    print(f"it runs in process {os.getpid()}")
"""


def save_tasks_of_the_guide(folder: Path) -> None:
    """Save the guide's tasks, and the folders that are their broker."""
    for block in Page.read(DOCS / "guides" / "web-frameworks.md").blocks:
        if block.file_name in {"phones.py", "tasks.py"}:
            (folder / block.file_name).write_text(block.code)
    with (folder / "tasks.py").open("a") as tasks:
        tasks.write(SHOW_PROCESS)
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()


def recorded_endpoints(folder: Path) -> list[str]:
    """Return the ids of the endpoints that the guide's tasks have recorded."""
    with closing(sqlite3.connect(folder / "phones.db")) as database:
        rows = database.execute("SELECT endpoint_id FROM phones WHERE endpoint_id IS NOT NULL")
        return [endpoint_id for (endpoint_id,) in rows]


def test_a_task_is_delivered_again_after_its_process_died(
    launch: Callable[..., Service], threaded_sandbox: Sandbox, tmp_path: Path
) -> None:
    """With the guide's way to create, the second run finds what the first has created."""
    skip_without("celery")
    save_tasks_of_the_guide(tmp_path)
    threaded_sandbox.inject(Fault(applied=True, latency=300), method="POST")
    app = ("celery", "--workdir", str(tmp_path), "--app", "tasks")
    assert 0 == launch(*app, "call", "tasks.create_phone", "--args", '["alice"]').wait()
    worker = launch(*app, "worker", "--concurrency", "1", "--loglevel", "INFO")
    wait_until(lambda: bool(threaded_sandbox.endpoints))
    assert [] == recorded_endpoints(tmp_path)
    os.kill(int(worker.wait_for(r"it runs in process (\d+)")), signal.SIGKILL)
    wait_until(lambda: bool(recorded_endpoints(tmp_path)))
    assert list(threaded_sandbox.endpoints) == recorded_endpoints(tmp_path)
    assert {"alice": 1} == threaded_sandbox.applied_creates
    assert 0 == worker.terminate()

"""Celery's workers with a client of the whole module, which the forked ones inherit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

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

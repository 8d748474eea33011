"""The journal: what a row of a provisioning run waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._sqlite import SqliteJournal

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

TASKS = 32


def test_note_a_fact(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """One durable write: to the journal's thread, onto the disk, and back."""
    with asyncio.Runner() as runner:
        journal = SqliteJournal(tmp_path / "run.db")
        runner.run(journal.open())

        def note() -> None:
            runner.run(journal.note({"name": "value"}))

        benchmark(note)
        assert runner.run(journal.facts())["name"] == "value"
        runner.run(journal.close())


def test_many_notes_at_once(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Thirty-two tasks that wait for the same disk share its writes."""

    async def note_all(journal: SqliteJournal) -> None:
        await asyncio.gather(*[journal.note({f"name{number}": "value"}) for number in range(TASKS)])

    with asyncio.Runner() as runner:
        journal = SqliteJournal(tmp_path / "run.db")
        runner.run(journal.open())

        def note() -> None:
            runner.run(note_all(journal))

        benchmark(note)
        assert len(runner.run(journal.facts())) >= TASKS
        runner.run(journal.close())

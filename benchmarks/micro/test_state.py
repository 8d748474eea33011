"""The state: what a row of a provisioning run waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._state._sqlite import SqliteState

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

TASKS = 32


def test_note_a_fact(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """One durable write: to the state's thread, onto the disk, and back."""
    with asyncio.Runner() as runner:
        state = SqliteState(tmp_path / "run.db")
        runner.run(state.open())

        def note() -> None:
            runner.run(state.note({"name": "value"}))

        benchmark(note)
        assert runner.run(state.facts())["name"] == "value"
        runner.run(state.close())


def test_many_notes_at_once(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Thirty-two tasks that wait for the same disk share its writes."""

    async def note_all(state: SqliteState) -> None:
        await asyncio.gather(*[state.note({f"name{number}": "value"}) for number in range(TASKS)])

    with asyncio.Runner() as runner:
        state = SqliteState(tmp_path / "run.db")
        runner.run(state.open())

        def note() -> None:
            runner.run(note_all(state))

        benchmark(note)
        assert len(runner.run(state.facts())) >= TASKS
        runner.run(state.close())

"""The count that a run keeps of its rows is that of its state, whatever is cut short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import Entry, RowState, SqliteState, StateError
from plivo_endpoints.provisioning._state._counting import Channel, CountingState
from plivo_endpoints.provisioning._transitions import released, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from plivo_endpoints.provisioning._state._protocol import Change

NEW = Entry(number=1, line=1, key="key-1", username="user1x", alias="row-1")
INTENDED = stamp(NEW, 1.0)


class LateJournal(SqliteState):
    """Writes an intent at once, and says so only when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written = asyncio.Event()

    async def save(self, changes: Sequence[Change]) -> None:
        """Write, and do not return from an intent."""
        await super().save(changes)
        if changes[0][1].state is RowState.INTENT:
            self.written.set()
            await asyncio.Event().wait()


async def test_a_save_whose_wait_is_cut_short_is_counted(tmp_path: Path) -> None:
    """The state has it, so the count does: else the next change of the row would leave it wrong."""
    state = LateJournal(tmp_path / "run.db")
    state = CountingState(state, Channel())
    await state.open()
    await state.add([NEW])
    await state.take_up(1, {})
    await state.count()
    saving = asyncio.create_task(state.save([(NEW, INTENDED)]))
    await state.written.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert (state.number_of(RowState.NEW), state.number_of(RowState.INTENT)) == (0, 1)
    await state.save([(INTENDED, released(INTENDED))])
    assert (state.number_of(RowState.NEW), state.number_of(RowState.INTENT)) == (1, 0)
    await state.close()


async def test_a_save_that_failed_is_not_counted(tmp_path: Path) -> None:
    """The report after a state's failure claims nothing that was not written."""
    state = SqliteState(tmp_path / "run.db")
    state = CountingState(state, Channel())
    await state.open()
    await state.add([NEW])
    await state.take_up(1, {})
    await state.count()
    with pytest.raises(StateError):
        await state.save([(INTENDED, released(INTENDED))])
    assert (state.number_of(RowState.NEW), state.number_of(RowState.INTENT)) == (1, 0)
    await state.close()

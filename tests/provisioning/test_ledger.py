"""The count that a run keeps of its rows is that of its journal, whatever is cut short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import Entry, JournalError, SqliteJournal, State
from plivo_endpoints.provisioning._ledger import Channel, Ledger
from plivo_endpoints.provisioning._states import released, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from plivo_endpoints.provisioning._journal import Change

NEW = Entry(number=1, line=1, key="key-1", username="user1x", alias="row-1")
INTENDED = stamp(NEW, 1.0)


class LateJournal(SqliteJournal):
    """Writes an intent at once, and says so only when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written = asyncio.Event()

    async def save(self, changes: Sequence[Change]) -> None:
        """Write, and do not return from an intent."""
        await super().save(changes)
        if changes[0][1].state is State.INTENT:
            self.written.set()
            await asyncio.Event().wait()


async def test_a_save_whose_wait_is_cut_short_is_counted(tmp_path: Path) -> None:
    """The journal has it, so the count does: else the next change of the row would leave it wrong."""
    journal = LateJournal(tmp_path / "run.db")
    ledger = Ledger(journal, Channel())
    await journal.open()
    await journal.add([NEW])
    await journal.take_up(1, {})
    await ledger.count()
    saving = asyncio.create_task(ledger.save([(NEW, INTENDED)]))
    await journal.written.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert (ledger.number_of(State.NEW), ledger.number_of(State.INTENT)) == (0, 1)
    await ledger.save([(INTENDED, released(INTENDED))])
    assert (ledger.number_of(State.NEW), ledger.number_of(State.INTENT)) == (1, 0)
    await journal.close()


async def test_a_save_that_failed_is_not_counted(tmp_path: Path) -> None:
    """The report after a journal's failure claims nothing that was not written."""
    journal = SqliteJournal(tmp_path / "run.db")
    ledger = Ledger(journal, Channel())
    await journal.open()
    await journal.add([NEW])
    await journal.take_up(1, {})
    await ledger.count()
    with pytest.raises(JournalError):
        await ledger.save([(INTENDED, released(INTENDED))])
    assert (ledger.number_of(State.NEW), ledger.number_of(State.INTENT)) == (1, 0)
    await journal.close()

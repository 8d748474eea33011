"""A run's count of its rows equals that of its state, even after cancellations and failures."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints.provisioning import Entry, RowState, Spec, SqliteState, StateError
from plivo_endpoints.provisioning._entries import Found
from plivo_endpoints.provisioning._report import Channel
from plivo_endpoints.provisioning._state._counting import CountingState
from plivo_endpoints.provisioning._state._protocol import ClaimLostError, opened
from plivo_endpoints.provisioning._transitions import created, decided, deleted, parked, released, stamp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from plivo_endpoints.provisioning._state._protocol import Transition

NEW = Entry(number=1, line=1, key="key-1", wanted=Spec(username="user1x", alias="row-1"))
INTENDED = stamp(NEW, 1.0)


class LateState(SqliteState):
    """Writes an intent at once, and says so only when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written = asyncio.Event()

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write, and do not return from an intent."""
        await super().save(changes)
        if changes[0][1].state is RowState.INTENT:
            self.written.set()
            await asyncio.Event().wait()


@asynccontextmanager
async def filled(state: SqliteState) -> AsyncGenerator[CountingState]:
    """Open a state with one new row, and count it."""
    async with opened(state):
        await state.add([NEW])
        await state.take_up({})
        counting = CountingState(state, Channel())
        await counting.count()
        yield counting


async def test_a_save_whose_wait_is_cut_short_is_counted(tmp_path: Path) -> None:
    """The state has the change, so the count must; otherwise the row's next change would corrupt it."""
    state = LateState(tmp_path / "run.db")
    async with filled(state) as counting:
        saving = asyncio.create_task(counting.save([(NEW, INTENDED)]))
        await state.written.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert (counting.number_of(RowState.NEW), counting.number_of(RowState.INTENT)) == (0, 1)
        await counting.save([(INTENDED, released(INTENDED))])
        assert (counting.number_of(RowState.NEW), counting.number_of(RowState.INTENT)) == (1, 0)


async def test_a_save_that_failed_is_not_counted(tmp_path: Path) -> None:
    """The report after a failure of the state contains nothing that was not written."""
    async with filled(SqliteState(tmp_path / "run.db")) as counting:
        with pytest.raises(StateError):
            await counting.save([(INTENDED, released(INTENDED))])
        assert (counting.number_of(RowState.NEW), counting.number_of(RowState.INTENT)) == (1, 0)


class SlowCount(SqliteState):
    """Counts at once, and returns the counts when it is let; a save may fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.counted, self.may_return = asyncio.Event(), asyncio.Event()
        self.may_return.set()
        self.refuses = False

    async def count(self) -> Mapping[RowState, int]:
        """Count, and dawdle."""
        counts = await super().count()
        self.counted.set()
        await self.may_return.wait()
        return counts

    async def save(self, changes: Sequence[Transition]) -> None:
        """Write, or lose the row."""
        await asyncio.sleep(0)
        if self.refuses:
            await self.may_return.wait()
            raise ClaimLostError("the row was taken")
        await super().save(changes)


@pytest.mark.parametrize("begun_first", ["count", "save"])
@pytest.mark.parametrize("refuses", [False, True])
async def test_a_count_while_rows_are_saved(tmp_path: Path, begun_first: str, *, refuses: bool) -> None:
    """It neither forgets what was saved since it began, nor takes back what it has not counted."""
    state = SlowCount(tmp_path / "run.db")
    async with filled(state) as counting:
        state.may_return.clear()
        state.counted.clear()
        state.refuses = refuses
        tasks: list[asyncio.Task[object]] = []
        for call in ("count", "save") if begun_first == "count" else ("save", "count"):
            work = counting.count() if call == "count" else counting.save([(NEW, INTENDED)])
            tasks.append(asyncio.create_task(work))
            await asyncio.sleep(0)
            await (state.counted.wait() if call == "count" else asyncio.sleep(0.05))
        state.may_return.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        expected = (1, 0) if refuses else (0, 1)
        assert (counting.number_of(RowState.NEW), counting.number_of(RowState.INTENT)) == expected


async def test_a_row_that_the_source_has_no_more(tmp_path: Path) -> None:
    """It is counted as gone while its endpoint exists, and as deleted afterwards, as in the state."""
    state = SqliteState(tmp_path / "run.db")
    async with filled(state) as counting:
        await counting.save([(NEW, INTENDED)])
        await counting.save([(INTENDED, created(INTENDED, "1", "user1x123456789012"))])
        await state.take_up({})
        await counting.count()
        assert (counting.gone, counting.has(*RowState)) == (1, False)
        (gone,) = await counting.holders(["1"])
        await counting.save([(gone, deleted(gone))])
        assert (counting.gone, counting.number_of(RowState.DELETED)) == (0, 1)
        assert (await state.count(), await counting.count_held()) == ({RowState.DELETED: 1}, (0, 0))


async def test_a_create_in_doubt_of_a_row_that_is_gone(tmp_path: Path) -> None:
    """It is counted, so that the run resolves it; the endpoint, once found, counts as gone."""
    state = SqliteState(tmp_path / "run.db")
    async with filled(state) as counting:
        await counting.save([(NEW, INTENDED)])
        await counting.save([(INTENDED, parked(INTENDED, "no answer"))])
        await state.take_up({})
        await counting.count()
        assert (counting.gone, counting.number_of(RowState.PARKED)) == (0, 1)
        entry = await counting.find_key("key-1")
        assert entry is not None
        await counting.save([(entry, decided(entry, [Found("1", "user1x123456789012", "row-1")]))])
        assert (counting.gone, counting.has(*RowState)) == (1, False)

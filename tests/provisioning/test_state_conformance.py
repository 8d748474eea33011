"""What every state must do, however it is stored: in SQLite's file, in PostgreSQL or in memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from plivo_endpoints.provisioning import (
    AsyncFleet,
    Clash,
    Entry,
    PostgresState,
    RowState,
    Spec,
    SqliteState,
    StateError,
)
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import HELD, Found
from plivo_endpoints.provisioning._state._protocol import opened
from tests.provisioning.memory_state import MemoryState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from plivo_endpoints import AsyncClient
    from plivo_endpoints.provisioning import FleetState, Row
    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

DIGITS = "261127101010"  # that Plivo appends


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> FleetState:
    """Give a state that was never opened."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return PostgresState(server.url(), fleet=tmp_path.name)
    return MemoryState() if request.param == "memory" else SqliteState(tmp_path / "run.db")


@pytest.fixture
async def state(closed: FleetState) -> AsyncIterator[FleetState]:
    """Give a state that is open."""
    async with opened(closed):
        yield closed


def new(number: int) -> Entry:
    """Make a row of the source."""
    wanted = Spec(username=f"user{number}x", alias=f"row-{number}", app_id="7", password="h:1:")
    return Entry(number=number, line=10 + number, key=f"key-{number}", wanted=wanted)


async def fill(state: FleetState, entries: Iterable[Entry]) -> None:
    """Let a state take up an edition of the source."""
    assert await state.add(list(entries)) == []
    await state.take_up({})


async def become(state: FleetState, before: Entry, *steps: Callable[[Entry], Entry]) -> Entry:
    """Let a row go through these steps, each saved."""
    for step in steps:
        after = step(before)
        await state.save([(before, after)])
        before = after
    return before


def stamp(entry: Entry) -> Entry:
    """Write an intent."""
    return states.stamp(entry, 1.5)


def create(entry: Entry) -> Entry:
    """Have it made, as endpoint 101 for row 1."""
    return states.created(entry, f"10{entry.number}", f"{entry.wanted.username}{DIGITS}")


def park(entry: Entry) -> Entry:
    """Lose its answer."""
    return states.parked(entry, "no answer")


def match(entry: Entry) -> Entry:
    """Meet endpoint 901 for row 1, which can be it."""
    found = Found(f"90{entry.number}", f"{entry.wanted.username}{DIGITS}", entry.wanted.alias)
    return states.matched(entry, found, {found.endpoint_id})


def refuse(entry: Entry) -> Entry:
    """Have it refused."""
    return states.refused(entry, "no such application")


async def read(state: FleetState, *wanted: RowState, after: int = -(2**62), limit: int = 99) -> list[Entry]:
    """Read rows in some states, or in all."""
    return list(await state.read(after=after, limit=limit, states=wanted or tuple(RowState)))


def keys(entries: Iterable[Entry]) -> set[str]:
    """Return the keys of rows."""
    return {entry.key for entry in entries}


async def test_facts(state: FleetState) -> None:
    """They are added, and changed by name."""
    assert await state.facts() == {}
    await state.note({"account": "A", "done": "yes"})
    await state.note({"done": ""})
    assert await state.facts() == {"account": "A", "done": ""}


async def test_rows_of_a_source(state: FleetState) -> None:
    """They exist once they are taken up, in the order of the source, not of adding."""
    assert await state.add([new(3), new(1)]) == []
    assert await state.add([new(2)]) == []
    assert (await read(state), await state.count()) == ([], {})
    await state.take_up({"digest": "d"})
    assert await read(state) == [new(1), new(2), new(3)]
    assert await state.facts() == {"digest": "d"}


async def test_rows_that_clash(state: FleetState) -> None:
    """Keys and usernames are unique, aliases are not; clashes are returned by field and left out."""
    first = new(1)
    assert await state.add([first]) == []
    same_name = evolve(new(2), wanted=first.wanted)
    same_key = evolve(new(3), key=first.key)
    both = evolve(new(4), key=first.key, wanted=first.wanted)
    same_alias = evolve(new(5), wanted=evolve(new(5).wanted, alias=first.wanted.alias))
    assert await state.add([same_name, same_key, same_alias]) == [
        Clash(same_name, "username", first),
        Clash(same_key, "key", first),
    ]
    clashes = await state.add([both])
    assert {clash.field: (clash.entry, clash.first) for clash in clashes} == {
        "username": (both, first),
        "key": (both, first),
    }
    await state.take_up({})
    assert await read(state) == [first, same_alias]


async def test_a_key_that_is_the_username(state: FleetState) -> None:
    """If both clash with the same row, only the username is reported."""
    first = evolve(new(1), key="user1x")
    second = evolve(new(2), key="user1x", wanted=first.wanted)
    await state.add([first])
    assert await state.add([second]) == [Clash(second, "username", first)]


async def test_a_key_that_clashes_with_one_row_and_a_username_with_another(state: FleetState) -> None:
    """Both are reported."""
    both = evolve(new(3), key="key-1", wanted=evolve(new(3).wanted, username="user2x"))
    await state.add([new(1), new(2)])
    clashes = await state.add([both])
    assert {clash.field: clash.first for clash in clashes} == {"username": new(2), "key": new(1)}


async def test_discard(state: FleetState) -> None:
    """Rows that were added but not taken up are deleted, and clash with nothing."""
    await fill(state, [new(1)])
    await state.add([new(2)])
    await state.discard()
    assert await state.add([new(2), new(1)]) == []
    await state.discard()
    assert await read(state) == [new(1)]


async def test_clear(state: FleetState) -> None:
    """All rows are deleted; facts are not."""
    await state.note({"account": "A"})
    await fill(state, [new(1), new(2)])
    await state.clear()
    assert (await read(state), await state.count(), await state.facts()) == ([], {}, {"account": "A"})
    await fill(state, [new(1)])
    assert await read(state) == [new(1)]


async def test_save(state: FleetState) -> None:
    """An entry is stored with all its fields."""
    await fill(state, [new(1), new(2)])
    made = await become(state, new(1), stamp, create)
    lost = await become(state, new(2), stamp, park)
    assert await read(state) == [made, lost]
    assert (made.known, lost.sent) == (new(1).wanted, new(2).wanted)


@pytest.mark.parametrize("stale", ["state", "epoch", "key"])
async def test_a_row_that_somebody_else_changed(state: FleetState, stale: str) -> None:
    """Neither it nor any other row of the call is replaced, and every later call fails."""
    await fill(state, [new(1), new(2)])
    intent = await become(state, new(1), stamp)
    expected = {
        "state": evolve(intent, state=RowState.NEW),
        "epoch": evolve(intent, epoch=0),
        "key": evolve(intent, key="nobody"),
    }[stale]
    with pytest.raises(StateError, match="row 1 was changed by another process"):
        await state.save([(new(2), stamp(new(2))), (expected, stamp(intent))])
    with pytest.raises(StateError, match="row 1 was changed by another process"):
        await state.facts()
    await state.close()
    await state.open()
    assert await read(state) == [intent, new(2)]


async def test_read(state: FleetState) -> None:
    """Only the requested states, from one number to another, in order, up to the limit."""
    await fill(state, map(new, range(9, 0, -1)))
    for number in (2, 4, 6, 8):
        await become(state, new(number), stamp)
    assert [entry.number for entry in await read(state, RowState.INTENT)] == [2, 4, 6, 8]
    assert [entry.number for entry in await read(state, RowState.INTENT, after=2, limit=2)] == [4, 6]
    some = await state.read(after=2, up_to=5, limit=99, states={RowState.NEW, RowState.INTENT})
    assert [entry.number for entry in some] == [3, 4, 5]
    assert await state.read(after=0, limit=99, states=()) == []


async def test_rows_that_are_gone(state: FleetState) -> None:
    """They keep their endpoints, with unique negative numbers; those without one are deleted."""
    await fill(state, map(new, range(1, 5)))
    made = [await become(state, new(number), stamp, create) for number in (1, 2)]
    await fill(state, [evolve(new(4), number=1)])
    *gone, last = await read(state)
    assert {entry.number < 0 for entry in gone} == {True}
    assert len({entry.number for entry in gone}) == 2
    assert (last.key, last.number) == ("key-4", 1)
    assert sorted((entry.key, entry.endpoint_id, entry.state) for entry in gone) == [
        (entry.key, entry.endpoint_id, RowState.UNCHANGED) for entry in made
    ]
    assert await state.find_key("key-3") is None


async def test_rows_that_stay(state: FleetState) -> None:
    """They are recognised by their keys, wherever they are, and follow the state machine."""
    await fill(state, [new(1), new(2), new(3)])
    made = await become(state, new(1), stamp, create)
    lost = await become(state, new(2), stamp, park)
    edited = evolve(new(1), number=3, line=30, wanted=evolve(new(1).wanted, alias="another"))
    moved = evolve(new(2), number=2, line=5)
    await fill(state, [edited, moved, evolve(new(4), number=1)])
    assert await read(state) == [
        evolve(new(4), number=1),
        states.taken_up(lost, (2, 5), moved.wanted),
        states.taken_up(made, (3, 30), edited.wanted),
    ]
    assert await state.count() == {RowState.NEW: 1, RowState.PARKED: 1, RowState.OUTDATED: 1}


async def test_a_row_that_comes_back(state: FleetState) -> None:
    """It has its endpoint again."""
    await fill(state, [new(1)])
    made = await become(state, new(1), stamp, create)
    await fill(state, [new(2)])
    await fill(state, [evolve(new(1), number=7)])
    back = await state.find_key("key-1")
    assert back is not None
    assert (back.number, back.endpoint_id, back.known) == (7, made.endpoint_id, made.known)


async def test_find_key(state: FleetState) -> None:
    """A row is found whether or not the source still has it."""
    await fill(state, [new(1), new(2)])
    await become(state, new(1), stamp, create)
    await fill(state, [new(2)])
    gone, there = await state.find_key("key-1"), await state.find_key("key-2")
    assert gone is not None
    assert (gone.is_gone, gone.endpoint_id, there) == (True, "101", new(2))
    assert await state.find_key("key-3") is None


async def test_find(state: FleetState) -> None:
    """Rows are found by their wanted username, and by the one that a create requested."""
    await fill(state, [new(1), new(2), new(3)])
    await become(state, new(1), stamp, park)
    renamed = evolve(new(1), wanted=evolve(new(1).wanted, username="another"))
    await fill(state, [renamed, new(2), new(3)])
    assert keys(await state.find({"user1x"})) == {"key-1"}
    assert keys(await state.find({"another", "user3x", "row-2", "nobody"})) == {"key-1", "key-3"}
    assert [entry.key for entry in await state.find({"another", "user1x"})] == ["key-1"]
    assert list(await state.find(())) == []


async def test_find_what_is_gone(state: FleetState) -> None:
    """Such a row is found only while a create of it may be in flight."""
    await fill(state, [new(1), new(2)])
    await become(state, new(1), stamp, park)
    await become(state, new(2), stamp, create)
    await fill(state, [])
    assert keys(await state.find({"user1x", "user2x"})) == {"key-1"}


async def test_holders(state: FleetState) -> None:
    """Rows with this endpoint as current or previous one; not those it only matches, nor deleted ones."""
    await fill(state, map(new, range(1, 5)))
    await become(state, new(1), stamp, create)
    two = await become(state, new(2), stamp, create)
    await become(state, new(3), match)
    await become(state, new(4), stamp, create)
    renamed = evolve(new(2), wanted=evolve(new(2).wanted, username="another"))
    await fill(state, [new(1), renamed, new(3)])
    ids = {"101", "102", "104", "202", "903", "nobody's"}
    assert keys(await state.holders(ids)) == {"key-1", "key-2", "key-4"}
    (held,) = await state.holders(["102"])
    await become(state, held, states.replacing)
    (before,) = await state.holders(ids - {"101", "104"})
    assert (before.endpoint_id, before.replaces) == (None, two.endpoint_id)
    (gone,) = await state.holders(["104"])
    await become(state, gone, states.deleted)
    assert keys(await state.holders(ids)) == {"key-1", "key-2"}
    assert list(await state.holders(())) == []


async def test_read_replaced(state: FleetState) -> None:
    """Rows with both the new and the previous endpoint, in order; not those waiting for the new one."""
    await fill(state, map(new, range(1, 4)))
    for number in range(1, 4):
        await become(state, new(number), stamp, create)
    renamed = [
        evolve(new(number), wanted=evolve(new(number).wanted, username=f"another{number}x"))
        for number in range(1, 4)
    ]
    await fill(state, renamed)
    waiting = [await become(state, entry, states.replacing) for entry in await read(state)]
    assert list(await state.read_replaced(99, HELD)) == []

    def make(entry: Entry) -> Entry:
        return states.created(entry, f"20{entry.number}", f"{entry.wanted.username}{DIGITS}")

    made = [await become(state, entry, stamp, make) for entry in (waiting[2], waiting[0])]
    assert list(await state.read_replaced(99, HELD)) == [made[1], made[0]]
    assert list(await state.read_replaced(1, HELD)) == [made[1]]
    await become(state, made[1], states.replaced)
    assert list(await state.read_replaced(99, HELD)) == [made[0]]


@pytest.mark.parametrize(
    "doubt",
    [states.vanished, partial(states.doubted, reason="another alias")],
    ids=["vanished", "doubted"],
)
async def test_a_replaced_row_whose_new_endpoint_is_in_doubt(
    state: FleetState, doubt: Callable[[Entry], Entry]
) -> None:
    """The previous endpoint may be its only one, and stays."""
    await fill(state, [new(1)])
    await become(state, new(1), stamp, create)
    renamed = evolve(new(1), wanted=evolve(new(1).wanted, username="another"))
    await fill(state, [renamed])
    (entry,) = await read(state)

    def make(entry: Entry) -> Entry:
        return states.created(entry, "201", f"another{DIGITS}")

    made = await become(state, entry, states.replacing, stamp, make)
    assert list(await state.read_replaced(99, HELD)) == [made]
    await become(state, made, doubt)
    assert list(await state.read_replaced(99, HELD)) == []


async def test_count(state: FleetState) -> None:
    """Rows of the source by state; of removed rows those that may be in flight, or were finished."""
    await fill(state, map(new, range(1, 8)))
    for number in (1, 2, 3, 4):
        await become(state, new(number), stamp, create)
    await become(state, new(5), stamp, park)
    await become(state, new(6), refuse)
    assert await state.count() == {
        RowState.CREATED: 4,
        RowState.PARKED: 1,
        RowState.FAILED: 1,
        RowState.NEW: 1,
    }
    await fill(state, [evolve(new(1), number=3)])
    assert await state.count() == {RowState.UNCHANGED: 1, RowState.PARKED: 1}
    (two,), (three,) = await state.holders(["102"]), await state.holders(["103"])
    await become(state, two, states.deleted)
    await become(state, three, lambda entry: states.not_deleted(entry, "a phone"))
    assert await state.count() == {
        RowState.UNCHANGED: 1,
        RowState.PARKED: 1,
        RowState.DELETED: 1,
        RowState.FAILED: 1,
    }


async def test_count_held(state: FleetState) -> None:
    """Rows that have an endpoint, and those among them that are no longer in the source."""
    assert await state.count_held() == (0, 0)
    await fill(state, map(new, range(1, 7)))
    for number in (1, 2, 3, 4):
        await become(state, new(number), stamp, create)
    await become(state, new(5), match)
    assert await state.count_held() == (4, 0)
    await fill(state, [new(1), new(5), new(6)])
    assert await state.count_held() == (4, 3)
    (two,) = await state.holders(["102"])
    await become(state, two, states.deleted)
    assert await state.count_held() == (3, 2)


async def test_suffix_lengths(state: FleetState) -> None:
    """From responses to creates only: not from imported endpoints, nor from unrelated usernames."""
    await fill(state, map(new, range(1, 5)))
    assert list(await state.suffix_lengths()) == []
    found = await become(state, new(1), match)
    await become(state, found, states.imported)
    await become(state, new(2), stamp, lambda entry: states.created(entry, "2", "nobody123"))
    await become(state, new(3), stamp, lambda entry: states.created(entry, "3", "user3x1y23"))
    assert list(await state.suffix_lengths()) == []
    await become(state, new(4), stamp, lambda entry: states.created(entry, "4", "user4x123"))
    assert list(await state.suffix_lengths()) == [3]
    edited = evolve(new(4), wanted=evolve(new(4).wanted, username="user"))
    await fill(state, [edited])
    assert list(await state.suffix_lengths()) == [3]


async def test_many_calls_at_once(state: FleetState) -> None:
    """Each is atomic, in the order in which they were started."""
    await fill(state, map(new, range(1, 51)))

    intents = [stamp(new(number)) for number in range(1, 51)]
    answers = await asyncio.gather(
        *(state.save([(new(intent.number), intent)]) for intent in intents),
        state.count(),
        *(state.save([(intent, create(intent))]) for intent in intents),
        state.count(),
    )
    assert [answer for answer in answers if answer is not None] == [
        {RowState.INTENT: 50},
        {RowState.CREATED: 50},
    ]


async def test_calls_after_close(closed: FleetState) -> None:
    """They raise, as before opening; it may be closed twice, and opened again it is complete."""
    with pytest.raises(StateError, match="closed"):
        await closed.facts()
    await closed.open()
    await closed.note({"account": "A"})
    await fill(closed, [new(1)])
    await closed.close()
    await closed.close()
    for call in (closed.facts, closed.count, closed.clear, closed.discard, closed.suffix_lengths):
        with pytest.raises(StateError, match="closed"):
            await call()
    with pytest.raises(StateError, match="closed"):
        await closed.save([(new(1), stamp(new(1)))])
    async with opened(closed):
        assert (await closed.facts(), await read(closed)) == ({"account": "A"}, [new(1)])


async def test_open_twice(state: FleetState) -> None:
    """The second call raises and does no harm."""
    with pytest.raises(StateError, match="open already"):
        await state.open()
    await state.note({"account": "A"})
    assert await state.facts() == {"account": "A"}


async def test_a_look_at_a_state_that_is_not_there(closed: FleetState) -> None:
    """It raises, and creates no state."""
    for _ in range(2):
        with pytest.raises(StateError, match="there is no state"):
            await closed.read_only().open()


async def test_read_only(closed: FleetState) -> None:
    """It shows what another process writes at any moment, and changes nothing."""
    async with opened(closed):
        await fill(closed, [new(1)])
        async with opened(closed.read_only()) as look:
            assert await read(look) == [new(1)]
            intent = await become(closed, new(1), stamp)
            assert await read(look) == [intent]
            with pytest.raises(StateError):
                await look.note({"account": "B"})
        async with opened(closed.read_only()) as look:
            with pytest.raises(StateError):
                await look.save([(intent, create(intent))])
        assert (await read(closed), await closed.facts()) == ([intent], {})
    async with opened(closed.read_only()) as look:
        assert await read(look) == [intent]


async def test_scratch_copy(closed: FleetState) -> None:
    """It has the current contents, also while the state is in use; changes stay in the copy."""
    async with closed.scratch_copy() as scratch:  # of none
        assert (await scratch.facts(), await read(scratch)) == ({}, [])
        await scratch.note({"account": "B"})
    with pytest.raises(StateError, match="there is no state"):
        await closed.read_only().open()
    async with opened(closed):
        await closed.note({"account": "A"})
        await fill(closed, [new(1)])
        intent = await become(closed, new(1), stamp)
        async with closed.scratch_copy() as scratch:
            assert (await scratch.facts(), await read(scratch)) == ({"account": "A"}, [intent])
            await scratch.note({"account": "B"})
            await become(scratch, intent, create)
        assert (await closed.facts(), await read(closed)) == ({"account": "A"}, [intent])
    with pytest.raises(StateError, match="closed"):
        await scratch.facts()


async def test_a_fleet(
    closed: FleetState, client: AsyncClient, sandbox: Sandbox, rows: Callable[[int], list[Row]]
) -> None:
    """A fleet can run on it: rows are created, edited and deleted, and read again."""
    fleet = AsyncFleet(client, closed)
    assert (await fleet.plan(rows(3))).counts["create"] == 3
    async with fleet.apply(rows(3), settle=0.2) as run:
        made = [outcome async for outcome in run]
    assert (run.report.exit_status, {outcome.status for outcome in made}) == (0, {"created"})
    one, two, _ = rows(3)
    async with fleet.apply(
        [evolve(one, alias="front desk"), evolve(two, username="another")],
        replace=True,
        delete=True,
        settle=0.2,
    ) as run:
        outcomes = {outcome.key: outcome.status async for outcome in run}
    assert outcomes == {"key-1": "updated", "key-2": "replaced", "key-3": "deleted"}
    assert sorted(str(endpoint.alias) for endpoint in sandbox.endpoints.values()) == ["front desk", "row-2"]
    assert {outcome.key: outcome.status async for outcome in fleet.outcomes()} == outcomes
    assert ((await fleet.report()).exit_status, (await fleet.audit()).exit_status) == (0, 0)

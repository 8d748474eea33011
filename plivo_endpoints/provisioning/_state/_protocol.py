"""The state's interface: what a run remembers, wherever it is kept."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from plivo_endpoints.provisioning._entries import Entry, RowState

Change = tuple["Entry", "Entry"]  # before and after


@frozen
class Clash:
    """A new entry shares a field, which must be its own, with one that came before."""

    entry: Entry
    field: str
    first: Entry


class Entries(Protocol):
    """What a run asks of its state: the part of `FleetState` that needs no opening and filling."""

    async def facts(self) -> Mapping[str, str]:
        """Return what was noted about the run as a whole."""
        ...

    async def note(self, facts: Mapping[str, str]) -> None:
        """Add to, or change, what is known about the run as a whole."""
        ...

    async def save(self, changes: Sequence[Change]) -> None:
        """Replace entries by their successors, if they still are as they were before: state and epoch."""
        ...

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """Return the first entries in these states whose number is above `after`, in order.

        Those of rows that the source has no more have numbers below 0.
        """
        ...

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """Return entries in these states that have an endpoint, and the one before it still as well."""
        ...

    async def find_key(self, key: str) -> Entry | None:
        """Return the entry of a key, also of one that the source has no more."""
        ...

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """Return the entries that want one of these usernames, or whose last create asked for it.

        Rows that the source has no more are among them only while a create of theirs may be on its way.
        """
        ...

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """Return the entries that these are the endpoints of, or were before they are replaced."""
        ...

    async def suffix_lengths(self) -> Collection[int]:
        """Return how many digits Plivo appended to usernames, as far as its answers to creates tell."""
        ...

    async def count(self) -> Mapping[RowState, int]:
        """Return how many entries are in each state, of those that `is_counted`."""
        ...

    async def count_held(self) -> tuple[int, int]:
        """Return how many entries have an endpoint, and how many of those the source has no more."""
        ...


class FleetState(Entries, Protocol):
    """What `apply` asks of a state.

    A call that returns has made its writes durable: they survive the loss of power. One that cannot raises
    `StateError`, and so does every later call. Calls may be under way at the same time; each is carried out
    as a whole, in the order they were begun, and even if the task that waits for it is cancelled.
    """

    async def open(self) -> None:
        """Make it ready, for this process alone."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...

    def read_only(self) -> FleetState:
        """Return what only looks at it, also while another process works on it; to be opened by itself."""
        ...

    def scratch_copy(self) -> AbstractAsyncContextManager[FleetState]:
        """Open a copy of it as it is now, or an empty one if it is not there; it goes with the block."""
        ...

    async def clear(self) -> None:
        """Forget every row."""
        ...

    async def discard(self) -> None:
        """Forget the rows of a new edition that were added, but not taken up."""
        ...

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """Add rows of a new edition; keys and usernames are unique: what clashes is left out.

        An entry has a clash for each field that it shares.
        """
        ...

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """Let the new edition replace the one before, and note facts.

        Each row is known again by its key, and becomes what `_transitions.taken_up` says; one that the source
        has no more gets a number below 0, which no other has.
        """
        ...


S = TypeVar("S", bound=FleetState)


@asynccontextmanager
async def opened(state: S) -> AsyncGenerator[S]:
    """Open a state for the block."""
    await state.open()
    try:
        yield state
    finally:
        await state.close()

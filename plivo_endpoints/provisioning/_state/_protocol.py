"""The interface of a state, independent of how it is stored, and reading through it in batches."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import frozen

from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from plivo_endpoints.provisioning._entries import Entry

_BATCH: Final = 500
LOWEST: Final = -(2**62)

Transition = tuple["Entry", "Entry"]  # before and after


class ClaimLostError(StateError):
    """Another process has taken the row: nothing was written, and the row is that process's now."""


class LeadershipLostError(StateError):
    """This process no longer leads: another one has taken over after its lease had ended."""


@frozen
class Clash:
    """A new entry shares a field that must be unique with an earlier one.

    Attributes:
        entry: The new entry.
        field: The name of the field.
        first: The earlier entry.
    """

    entry: Entry
    field: str
    first: Entry


def clashes_of(entry: Entry, firsts: Mapping[str, Entry]) -> list[Clash]:
    """Return the clashes of a new entry with earlier ones, which are given by field."""
    fields = [field for field in firsts if field != "key"]
    if "key" in firsts and not (fields and entry.key == entry.wanted.username):
        fields.append("key")  # unless the key is the username, and that clashes already
    return [Clash(entry, field, firsts[field]) for field in fields]


class EntryStore(Protocol):
    """The part of `FleetState` that reads and changes entries, once it is open and filled."""

    async def facts(self) -> Mapping[str, str]:
        """Return the recorded facts about the run as a whole."""
        ...

    async def note(self, facts: Mapping[str, str]) -> None:
        """Add or change facts about the run as a whole."""
        ...

    async def save(self, changes: Sequence[Transition]) -> None:
        """Replace entries by their successors, if their state and epoch are still as before."""
        ...

    async def read(
        self, *, after: int, limit: int, states: Collection[RowState], up_to: int | None = None
    ) -> Sequence[Entry]:
        """Return the first entries in these states whose number is above `after`, in order.

        Rows that are no longer in the source have negative numbers.
        """
        ...

    async def read_replaced(self, limit: int, states: Collection[RowState]) -> Sequence[Entry]:
        """Return entries in these states that have an endpoint and still have their previous one."""
        ...

    async def find_key(self, key: str) -> Entry | None:
        """Return the entry of a key, even if it is no longer in the source."""
        ...

    async def find(self, usernames: Collection[str]) -> Sequence[Entry]:
        """Return the entries that want one of these usernames, or whose last create requested it.

        A row that is no longer in the source is included only while a create of it may be in flight.
        """
        ...

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """Return the entries that have one of these endpoints, or have one as their previous endpoint."""
        ...

    async def suffix_lengths(self) -> Collection[int]:
        """Return how many digits Plivo appended to usernames, as seen in endpoints created by this fleet."""
        ...

    async def count(self) -> Mapping[RowState, int]:
        """Return the number of entries in each state, of those with `is_counted`."""
        ...

    async def count_held(self) -> tuple[int, int]:
        """Return how many entries have an endpoint, and how many of those are no longer in the source."""
        ...


class FleetState(EntryStore, Protocol):
    """What `apply` requires of a state.

    When a call returns, its writes are durable: they survive a power failure. A call that cannot do that
    raises `StateError`, and so does every later call. Calls may run concurrently. Each is atomic, they are
    carried out in the order in which they were started, and each completes even if the waiting task is
    cancelled.
    """

    async def open(self) -> None:
        """Open it, for this process exclusively."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...

    def read_only(self) -> FleetState:
        """Return a read-only view, to be opened separately; also while another process uses the state."""
        ...

    def scratch_copy(self) -> AbstractAsyncContextManager[FleetState]:
        """Open a temporary copy of its current contents for the block; an empty one if it does not exist."""
        ...

    async def clear(self) -> None:
        """Delete all rows."""
        ...

    async def discard(self) -> None:
        """Delete the rows of a new edition that were added but not taken up."""
        ...

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """Add rows of a new edition; leave out those whose key or username is not unique.

        Returns a clash for each field that an entry shares.
        """
        ...

    async def take_up(self, facts: Mapping[str, str]) -> None:
        """Replace the previous edition by the new one, and record facts.

        Rows are recognised by their keys and become what `_transitions.taken_up` returns. A row that is no
        longer in the source gets a unique negative number.
        """
        ...


class JointState(FleetState, Protocol):
    """A state that several processes, also on several hosts, can use at once for one run.

    One of them leads; only it may call the methods of `FleetState` that write, which raise
    `LeadershipLostError` if it no longer does. All claim rows; a process may `save` those one by one, which
    raises `ClaimLostError` if the row is no longer its own.
    """

    async def join(self, *, create: bool = True) -> None:
        """Open it for this process, beside others; raise `StateError` if there is none, or create it."""
        ...

    async def lead(self, account: str | None = None) -> bool:
        """Become the leader, unless another process is and its lease has not ended; return whether it leads.

        Raises:
            StateError: Another fleet's leader works on this account.
        """
        ...

    async def allow_claims(self) -> None:
        """Let all processes claim rows, until `revoke_claims` or `stop_claims`."""
        ...

    async def revoke_claims(self) -> int:
        """Let no process claim rows, and take back what was claimed.

        Returns:
            How many rows other processes still have, as their creates may be in flight: call it again.
        """
        ...

    async def claim(
        self, *, edition: str, after: int, limit: int, states: Collection[RowState]
    ) -> Sequence[Entry]:
        """Reserve the first entries in these states above `after` for this process; none unless shared.

        A claim ends with the lease of the process.

        Args:
            edition: The digest of the source that this process has; there are none if another one was taken
                up since.
            after: A number.
            limit: How many at most.
            states: The states.
        """
        ...

    async def release_claims(self) -> None:
        """Give back the rows that this process has claimed, but not those with an intent."""
        ...

    async def step_down(self) -> None:
        """Lead no longer, and give back the rows that this process has claimed, so that others can go on."""
        ...

    async def stop_claims(self, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Let no process claim rows, and change facts to what `change` returns; any process may call it."""
        ...

    async def allows_claims(self) -> bool:
        """Whether rows can be claimed now."""
        ...

    def count_done(self, rows: int) -> None:
        """Add to the number of rows that this process has finished, for `provision status`."""
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


async def batches(state: EntryStore, *states: RowState) -> AsyncGenerator[Sequence[Entry]]:
    """Yield all entries in these states, in order, in batches; they may be changed during the iteration.

    Rows that are no longer in the source are left out, except those with a create that may be in flight.
    """
    undecided = [state for state in states if state in {RowState.INTENT, RowState.PARKED}]
    for reading in (batches_of_gone(state, *undecided), _batches(state, 0, None, states)):
        async with aclosing(reading) as some:
            async for batch in some:
                yield batch


def batches_of_gone(state: EntryStore, *states: RowState) -> AsyncGenerator[Sequence[Entry]]:
    """Yield the entries in these states of rows that are no longer in the source."""
    return _batches(state, LOWEST, -1, states)


async def _batches(
    state: EntryStore, after: int, up_to: int | None, states: Collection[RowState]
) -> AsyncGenerator[Sequence[Entry]]:
    while states and (batch := await state.read(after=after, limit=_BATCH, states=states, up_to=up_to)):
        yield batch
        after = batch[-1].number

"""The journal's interface: what a run remembers, wherever it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from plivo_endpoints.provisioning._states import Entry, State

Change = tuple["Entry", "Entry"]  # before and after


@frozen
class Clash:
    """A new entry shares a field, which must be its own, with one that came before."""

    entry: Entry
    field: str
    first: Entry


@frozen
class Refusal:
    """A row that a new edition of the source must not change, and why."""

    entry: Entry
    reason: str

    def __str__(self) -> str:
        return f"{self.entry.key}: {self.reason}"


class Entries(Protocol):
    """What the work on a run asks of its journal: the part of `Journal` that needs no opening and filling."""

    async def facts(self) -> Mapping[str, str]:
        """Return what was noted about the run as a whole."""
        ...

    async def note(self, facts: Mapping[str, str]) -> None:
        """Add to, or change, what is known about the run as a whole."""
        ...

    async def save(self, changes: Sequence[Change]) -> None:
        """Replace entries by their successors, if they still are as they were before: state and epoch."""
        ...

    async def read(self, *, after: int, limit: int, states: Collection[State]) -> Sequence[Entry]:
        """Return the first entries in these states whose number is above `after`, in order."""
        ...

    async def find(self, aliases: Collection[str]) -> Sequence[Entry]:
        """Return the entries of rows of the source that ask for one of these aliases."""
        ...

    async def holders(self, endpoint_ids: Collection[str]) -> Sequence[Entry]:
        """Return the entries that these are the endpoints of, rows that the source has no more among them."""
        ...

    async def suffix_lengths(self) -> Collection[int]:
        """Return how many digits Plivo appended to usernames, as far as its answers to creates tell."""
        ...

    async def count(self) -> Mapping[State, int]:
        """Return how many entries are in each state."""
        ...

    async def count_gone(self) -> int:
        """Return how many rows the source has no more."""
        ...


class Journal(Entries, Protocol):
    """What `apply` asks of a journal.

    A call that returns has made its writes durable: they survive the loss of power. One that cannot raises
    `JournalError`, and so does every later call. Calls may be under way at the same time; each is carried out
    as a whole, in the order they were begun, and even if the task that waits for it is cancelled.
    """

    async def open(self) -> None:
        """Make it ready, for this process alone."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...

    async def clear(self) -> None:
        """Forget every row."""
        ...

    async def discard(self) -> None:
        """Forget the rows of a new edition that were added, but not taken up."""
        ...

    async def add(self, entries: Sequence[Entry]) -> Sequence[Clash]:
        """Add rows of a new edition; keys, usernames and aliases are unique: what clashes is left out.

        An entry has a clash for each field that it shares.
        """
        ...

    async def take_up(self, edition: int, facts: Mapping[str, str]) -> Sequence[Refusal]:
        """Let the new edition replace the one before, and note facts; or return why not, and change nothing.

        Each row is known again by its key, and becomes what `_states.edited` says; one that there is no more
        keeps its endpoint, with the number 0.
        """
        ...

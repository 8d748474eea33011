"""The steps of a plan, and a compact sequence for a million of them."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, overload

from attrs import asdict, field, frozen

StepKind = Literal["create", "import", "update", "replace", "delete", "drift", "conflict", "unchanged"]
Permission = Literal["import", "replace", "delete", "recreate"]
KINDS: Final[tuple[StepKind, ...]] = get_args(StepKind)


Change = tuple[str | None, str | None]


def _pairs(changes: Mapping[str, Sequence[str | None]]) -> dict[str, Change]:
    return {name: (before, after) for name, (before, after) in changes.items()}


@frozen(kw_only=True)
class Step:
    """What a run would do for a row.

    Attributes:
        key: The row's key.
        kind: "create"; "import": exactly one endpoint of the account matches it; "update"; "replace": its
            username was edited; "delete": it is no longer in the source; "drift": its endpoint was changed or
            deleted on the account; "conflict": a person has to decide.
        alias: The alias of the endpoint to create.
        endpoint_id: The endpoint concerned, if there is one.
        changes: Old and new values by field. For a password both are `None`.
        needs: The permission it needs; without it the row is left as it is.
        reason: Why a person has to decide, or what has changed.
        line: The row's line in the source.
    """

    key: str
    kind: StepKind
    alias: str | None = None
    endpoint_id: str | None = None
    changes: Mapping[str, Change] = field(factory=dict[str, Change], converter=_pairs)
    needs: Permission | None = None
    reason: str | None = None
    line: int = 0


# The most frequent first, as `Steps.add` leaves out absent ones at the end.
_NAMES: Final = ("kind", "key", "line", "alias", "endpoint_id", "needs", "changes", "reason")
_ABSENT: Final = asdict(Step(key="", kind="unchanged"))


class Steps(Sequence[Step]):
    """Steps in the order of the source, each stored as JSON and decoded on access."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._lines = bytearray()
        self._ends = array("q")
        self._kinds: Counter[StepKind] = Counter()
        for step in steps:
            self.add(step)

    def add(self, step: Step) -> None:
        """Append a step."""
        names = list(_NAMES)
        while getattr(step, names[-1]) == _ABSENT[names[-1]]:
            names.pop()
        self._lines += json.dumps([getattr(step, name) for name in names], separators=(",", ":")).encode()
        self._ends.append(len(self._lines))
        self._kinds[step.kind] += 1

    @property
    def kinds(self) -> Mapping[StepKind, int]:
        """Number of steps of each kind."""
        return self._kinds

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, index: int | slice) -> Step | tuple[Step, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        place = range(len(self))[index]
        begin = self._ends[place - 1] if place else 0
        values: list[Any] = json.loads(self._lines[begin : self._ends[place]])
        return Step(**dict(zip(_NAMES, values, strict=False)))

    def __iter__(self) -> Iterator[Step]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and self._lines == other._lines

    def __hash__(self) -> int:
        return hash(bytes(self._lines))

    def __repr__(self) -> str:
        return f"<{len(self)} steps>"

"""What stops a run, or keeps it from beginning.

```
PlivoError
└── ProvisioningError
    ├── SourceError         the input breaks a rule; .problems names every line
    ├── StaleError          account, master key or plan does not belong to the state, or the input has changed
    ├── CanaryError         an endpoint, mostly the first, does not match what was asked for
    ├── OutageError         Plivo cannot be reached, or loses every answer
    ├── RefusedError        Plivo refuses one row after the other
    ├── DeletionLimitError  more endpoints would be deleted than was allowed
    └── StateError          the state cannot be read or written: nothing more is sent
```

Each leaves the state right: the same call goes on once the cause is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import PlivoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plivo_endpoints.provisioning._rows import Problem

_SHOWN: Final = 50  # problems in a message


def shorten(items: Sequence[object], most: int) -> list[str]:
    """Return the first of many things as lines of a message, and how many more there are."""
    shown = [str(item) for item in items[:most]]
    return [*shown, f"and {len(items) - most} more"] if len(items) > most else shown


class ProvisioningError(PlivoError):
    """Base of what provisioning raises by itself; the client's own errors pass through it."""


class SourceError(ProvisioningError):
    """Lines of the input break rules; nothing was sent.

    Attributes:
        problems: Every one of them, in the order of the input.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(["the source cannot be used", *shorten(problems, _SHOWN)]))
        self.problems = problems


class StaleError(ProvisioningError):
    """Account, master key or plan is not the state's, or the input was edited where it must not be."""


class CanaryError(ProvisioningError):
    """An endpoint, mostly the first, does not match what was asked for: the run stopped at it.

    So does every later one, until that endpoint matches, or is deleted; then one is created alone again.
    """


class OutageError(ProvisioningError):
    """One create after the other failed without a word that is about the row itself."""


class RefusedError(ProvisioningError):
    """Plivo refused so many rows one after the other that the reason is hardly in the rows.

    They are tried again by the next run.
    """


class DeletionLimitError(ProvisioningError):
    """The source lacks so many rows that it may have been cut short; none was deleted."""


class StateError(ProvisioningError):
    """The state cannot be read or written, so nothing more may be sent."""

"""Errors that stop a run, or prevent it from starting.

```
PlivoError
└── ProvisioningError
    ├── SourceError         the source is invalid; .problems names every line
    ├── StaleError          account, master key, plan or source does not belong to the state
    ├── CanaryError         an endpoint, usually the first, does not match the request
    ├── OutageError         Plivo cannot be reached, or every response is lost
    ├── RefusedError        Plivo refused too many rows in succession
    ├── DeletionLimitError  more endpoints would be deleted than allowed
    └── StateError          the state cannot be read or written; nothing more is sent
```

Each leaves the state consistent: the same call continues once the cause is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plivo_endpoints._errors import PlivoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plivo_endpoints.provisioning._rows import Problem

_SHOWN: Final = 50  # problems in a message


def shorten(items: Sequence[object], most: int) -> list[str]:
    """Return the first `most` items as lines of a message, and how many more there are."""
    shown = [str(item) for item in items[:most]]
    return [*shown, f"and {len(items) - most} more"] if len(items) > most else shown


class ProvisioningError(PlivoError):
    """Base class of provisioning errors; errors of the client are raised unchanged."""


class SourceError(ProvisioningError):
    """The source is invalid; nothing was sent.

    Attributes:
        problems: All problems, in the order of the source.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(["the source cannot be used", *shorten(problems, _SHOWN)]))
        self.problems = problems


class StaleError(ProvisioningError):
    """Account, master key or plan does not belong to the state, or the source changed at the wrong time."""


class CanaryError(ProvisioningError):
    """An endpoint, usually the first, does not match the request, so the run stopped.

    Every later run stops too until that endpoint matches or is deleted. Then one create runs alone again.
    """


class OutageError(ProvisioningError):
    """Plivo cannot be reached, or the responses to many requests in succession were lost."""


class RefusedError(ProvisioningError):
    """Plivo refused so many rows in succession that the cause is probably not in the rows.

    The next run tries them again.
    """


class DeletionLimitError(ProvisioningError):
    """So many rows are missing from the source that it may have been truncated; none was deleted."""


class StateError(ProvisioningError):
    """The state cannot be read or written, so nothing more is sent."""

"""What a run may do, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from plivo_endpoints._validation import check_count, check_seconds

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._plan import Plan


@frozen(kw_only=True)
class Options:
    """The arguments of `AsyncFleet.apply`, checked: see there."""

    plan: Plan | None
    import_existing: bool
    replace: bool
    recreate: bool
    delete: bool
    delete_limit: int | None
    even_registered: bool
    concurrency: int
    settle: float
    max_failures: int

    def __attrs_post_init__(self) -> None:
        check_count("concurrency", self.concurrency, 1)
        check_seconds("settle", self.settle, zero=True)
        check_count("max_failures", self.max_failures, 1)
        if self.delete_limit is not None:
            check_count("delete_limit", self.delete_limit, 0)

"""The options of a run."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from attrs import field, frozen

from plivo_endpoints._validation import check_count, check_seconds, require

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._plan import Plan


def check_only(keys: object) -> frozenset[str] | None:
    """Return the keys in `only`, each once; raise `InvalidArgumentError` unless they are a collection."""
    if keys is None:
        return None
    is_fit = isinstance(keys, Collection) and not isinstance(keys, (str, bytes))
    require("only", None if is_fit else "must be a collection of keys, such as a list")
    chosen = cast("Collection[object]", keys)
    require(
        "only", None if all(isinstance(key, str) for key in chosen) else "must have keys that are strings"
    )
    return frozenset(cast("Collection[str]", chosen))


@frozen(kw_only=True)
class Options:
    """The validated arguments of `AsyncFleet.apply`; see there."""

    plan: Plan | None = None
    only: frozenset[str] | None = field(default=None, converter=check_only)
    import_existing: bool = False
    replace: bool = False
    recreate: bool = False
    delete: bool = False
    delete_limit: int | None = None
    even_registered: bool = False
    concurrency: int = 32
    settle: float = 120.0
    max_failures: int = 20

    def __attrs_post_init__(self) -> None:
        if self.plan is not None:
            require("plan", "is for some rows only: make one for all" if self.plan.is_partial else None)
        if self.only is not None:
            require("only", "cannot be combined with a plan, which is for all rows" if self.plan else None)
        check_count("concurrency", self.concurrency, 1)
        check_seconds("settle", self.settle, zero=True)
        check_count("max_failures", self.max_failures, 1)
        if self.delete_limit is not None:
            check_count("delete_limit", self.delete_limit, 0)

"""A plan as a file, so that what was looked at is what is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._plan import Plan, Step

if TYPE_CHECKING:
    from os import PathLike


def save_plan(plan: Plan, path: str | PathLike[str]) -> None:
    """Write a plan as JSON, in place of an older one. It holds keys and reasons, but no password."""
    Path(path).write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")


def load_plan(path: str | PathLike[str]) -> Plan:
    """Read a plan that was saved.

    Raises:
        ProvisioningError: The file holds no plan.
    """
    try:
        known: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        steps = tuple(_step(each) for each in known.pop("steps"))
        return Plan(**known, steps=steps)
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ProvisioningError(f"{path} holds no plan") from None


def _step(known: dict[str, Any]) -> Step:
    changes = {name: (before, after) for name, (before, after) in known.pop("changes").items()}
    return Step(**known, changes=changes)

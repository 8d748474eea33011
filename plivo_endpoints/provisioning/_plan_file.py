"""Save and load a plan, so that a run does exactly what was reviewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from plivo_endpoints.provisioning._errors import ProvisioningError
from plivo_endpoints.provisioning._plan import Plan
from plivo_endpoints.provisioning._steps import Step, Steps

if TYPE_CHECKING:
    from os import PathLike


def save_plan(plan: Plan, path: str | PathLike[str]) -> None:
    """Write a plan as JSON, replacing an older file. It holds keys and reasons, but no passwords."""
    known = {name: value for name, value in asdict(plan).items() if name != "steps"}
    with Path(path).open("w", encoding="utf-8") as file:
        lines = (json.dumps(asdict(step)) for step in plan.steps)
        file.write(f'{json.dumps(known)[:-1]}, "steps": [\n{next(lines, "")}')
        file.writelines(f",\n{line}" for line in lines)
        file.write("\n]}\n")


def load_plan(path: str | PathLike[str]) -> Plan:
    """Read a saved plan.

    Raises:
        ProvisioningError: The file is not a plan.
    """
    try:
        known: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        steps = Steps(Step(**each) for each in known.pop("steps"))
        return Plan(**known, steps=steps)
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ProvisioningError(f"{path} is not a plan file") from None

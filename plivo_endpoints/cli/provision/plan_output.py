"""Print a plan as lines, as JSON, or as a table for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from attrs import asdict

from plivo_endpoints.cli.output import escape
from plivo_endpoints.cli.provision.output import NO_ROWS, print_note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plivo_endpoints.cli.options import Settings
    from plivo_endpoints.provisioning import Plan, Step

_SHOWN: Final = 50
_SIGNS: Final[Mapping[str, str]] = {
    "create": "  +",
    "import": "  <",
    "update": "  ~",
    "replace": "-/+",
    "delete": "  -",
    "drift": "  ~",
    "conflict": "  !",
}
# The requests that a step takes at least, besides listing the account before and after.
_REQUESTS: Final[Mapping[str, int]] = {"create": 1, "update": 1, "replace": 2, "delete": 2, "drift": 1}
_ALLOW: Final = "needs --{}"


def show_plan(found: Plan, settings: Settings, rate: int) -> None:
    """Print a line for each step, and the counts."""
    if settings.as_json:
        document = {"account": found.account, "counts": found.counts, "summary": found.summary}
        settings.output().record({**document, "steps": [asdict(step) for step in found.steps]})
        return
    width = max((len(escape(step.key)) for step in found.steps[:_SHOWN]), default=0)
    for step in found.steps[:_SHOWN]:
        click.echo(
            f"{_SIGNS[step.kind]} {step.kind:<8} {escape(step.key):<{width}} {_describe(step)}".rstrip()
        )
    if len(found.steps) > _SHOWN:
        click.echo(f"    and {len(found.steps) - _SHOWN} more; --json shows all")
    if not found.steps and not found.unchanged:
        print_note(NO_ROWS, settings)
        return
    click.echo(f"Plan: {found.summary}{_duration(found, rate)}")


def show_markdown(found: Plan) -> None:
    """Print a Markdown table for GitHub and GitLab."""
    click.echo(f"**Plan:** {found.summary}\n")
    if found.steps:
        click.echo("| | step | key | |\n|---|---|---|---|")
    for step in found.steps[:_SHOWN]:
        cells = (_SIGNS[step.kind].strip(), step.kind, escape(step.key), _describe(step))
        click.echo(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    if len(found.steps) > _SHOWN:
        click.echo(f"\nand {len(found.steps) - _SHOWN} more")


def _describe(step: Step) -> str:
    """Return the change of a row, from which values to which, and the option it needs."""
    parts = [_change(name, *values) for name, values in step.changes.items()]
    if step.kind == "create":
        parts.insert(0, f"alias {_quote(step.alias)}")
    if step.kind in {"import", "delete"} or (step.kind == "drift" and not parts):
        parts.insert(0, f"endpoint {step.endpoint_id}")
    if step.kind == "drift":
        parts.append("changed on the account" if step.needs is None else "gone from the account")
    elif step.reason:
        parts.append(step.reason)
    needs = f"   ({_ALLOW.format(step.needs)})" if step.needs else ""
    return f"{', '.join(parts)}{needs}"


def _change(name: str, before: str | None, after: str | None) -> str:
    if name == "password":
        return "password"
    if name == "alias":
        return f"alias {_quote(before)} -> {_quote(after)}"
    return f"{name} {escape(before or 'none')} -> {escape(after or 'none')}"


def _quote(text: str | None) -> str:
    return f'"{escape(text or "")}"'


def _duration(found: Plan, rate: int) -> str:
    requests = sum(_REQUESTS.get(kind, 0) * count for kind, count in found.counts.items())
    if not requests:
        return ""
    seconds = max(1, requests / rate)
    about = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
    return f" About {about} at {rate} requests a second."

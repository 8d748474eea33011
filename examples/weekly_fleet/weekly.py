"""Keep the endpoints of an account as users.csv describes them.

    python weekly.py plan                    show what would be done
    python weekly.py apply                   do it, except for deletions
    python weekly.py apply --deletions 2     also delete, if it is exactly two

The account: PLIVO_AUTH_ID, PLIVO_AUTH_TOKEN. The key of the passwords: PLIVO_PROVISION_KEY. The state:
FLEET_STATE, a file or the URL of a PostgreSQL database. The exit status of `apply` is 0 if all rows are done,
1 if some failed or the run was refused, and 3 if a person has to decide.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plivo_endpoints import Client, PlivoError
from plivo_endpoints.provisioning import Fleet

if TYPE_CHECKING:
    from plivo_endpoints.provisioning import Plan, Report

USERS = Path(__file__).with_name("users.csv")


def show(plan: Plan) -> None:
    """Print what would be done."""
    for step in plan.steps:
        print(f"{step.kind:9} {step.key} {step.reason or ''}".rstrip())
    print(f"Plan: {plan.summary}")


def check_deletions(plan: Plan, confirmed: int) -> None:
    """Refuse a plan with other deletions than were confirmed, unless none were."""
    planned = plan.counts["delete"]
    if confirmed and confirmed != planned:
        sys.exit(f"{confirmed} deletions were confirmed, but the plan has {planned}: nothing was done")


def apply(fleet: Fleet, confirmed: int) -> Report:
    """Do what a plan says that is made now; the run refuses to start if anything changes in between."""
    plan = fleet.plan(USERS)
    show(plan)
    check_deletions(plan, confirmed)
    with fleet.apply(USERS, plan=plan, delete=confirmed > 0, delete_limit=confirmed) as run:
        for outcome in run:
            print(outcome.key, outcome.status, outcome.username or "", outcome.error or "")
    return run.report


def summarize(report: Report) -> None:
    """Print the counts, and what a person should look at."""
    print(", ".join(f"{count} {status}" for status, count in report.counts.items() if count))
    if report.gone:
        print(f"{report.gone} no longer in the file; delete them with --deletions {report.gone}")
    for duplicate in report.duplicates:
        print(f"{duplicate.key} has a second endpoint, {duplicate.endpoint_id}")


def main() -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["plan", "apply"])
    parser.add_argument("--deletions", type=int, default=0, help="the number of deletions in the plan")
    options = parser.parse_args()
    with Client() as client:
        fleet = Fleet(client, os.environ.get("FLEET_STATE", "plivo-fleet.db"))
        if options.command == "plan":
            show(fleet.plan(USERS))
            return 0
        report = apply(fleet, options.deletions)
        summarize(report)
        return report.exit_status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PlivoError as error:  # the file is wrong, the run was refused, or Plivo could not be reached
        sys.exit(f"{type(error).__name__}: {error}")

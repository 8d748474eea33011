"""Provisioning: an account's endpoints kept as a source of rows describes them, each made exactly once.

Plivo has no idempotency key, so *exactly once* is made out of a state that knows, before a create leaves,
that it is about to; of lists that are walked to find what was made of a create whose answer was lost; and of
an audit at the end. The way of a row, with the file of each step:

1. read, and checked with all others (`_source`, `_rows`, `_load`);
2. taken up into the state by its key, as a new row or an edited one (`_attach`, `_state`);
3. compared with the account: what is to be done? (`_survey`, `_plan`; the states of a row are in `_entries`
   and `_transitions`);
4. created, after the first of all was made alone and looked at (`_canary`): at its turn (`_rate`), with an
   intent that is durable before the first byte leaves (`_create`);
5. if the answer was lost, decided on when nothing can land any more, by a walk (`_reconcile`, `_listing`);
6. or updated, replaced, deleted (`_change`);
7. looked at once more, with all others (`_audit`), while endpoints that have appeared and are no row's are
   counted (`_strangers`).

`_run` goes through the phases, `_outage` stops it when nothing gets through, `_apply` lets a caller
follow, and `_fleet` is the face of it all.
"""

from plivo_endpoints.provisioning._apply import Progress, Run
from plivo_endpoints.provisioning._blocking_fleet import BlockingRun, Fleet
from plivo_endpoints.provisioning._entries import Entry, RowState, Spec
from plivo_endpoints.provisioning._errors import (
    CanaryError,
    DeletionLimitError,
    OutageError,
    ProvisioningError,
    RefusedError,
    SourceError,
    StaleError,
    StateError,
)
from plivo_endpoints.provisioning._fleet import AsyncFleet
from plivo_endpoints.provisioning._plan import Plan
from plivo_endpoints.provisioning._plan_file import load_plan, save_plan
from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report, Status
from plivo_endpoints.provisioning._results import SipCredentials
from plivo_endpoints.provisioning._rows import Problem, Row, RowSource, Source
from plivo_endpoints.provisioning._run import Phase
from plivo_endpoints.provisioning._source import CsvSource, JsonlSource
from plivo_endpoints.provisioning._state._protocol import Change, Clash, Entries, FleetState
from plivo_endpoints.provisioning._state._sqlite import SqliteState
from plivo_endpoints.provisioning._steps import Permission, Step, StepKind, Steps

__all__ = [
    "AsyncFleet",
    "BlockingRun",
    "CanaryError",
    "Change",
    "Clash",
    "CsvSource",
    "DeletionLimitError",
    "Duplicate",
    "Entries",
    "Entry",
    "Fleet",
    "FleetState",
    "JsonlSource",
    "OutageError",
    "Outcome",
    "Permission",
    "Phase",
    "Plan",
    "Problem",
    "Progress",
    "ProvisioningError",
    "RefusedError",
    "Report",
    "Row",
    "RowSource",
    "RowState",
    "Run",
    "SipCredentials",
    "Source",
    "SourceError",
    "Spec",
    "SqliteState",
    "StaleError",
    "StateError",
    "Status",
    "Step",
    "StepKind",
    "Steps",
    "load_plan",
    "save_plan",
]

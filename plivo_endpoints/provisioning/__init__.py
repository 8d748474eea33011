"""Provisioning: keep an account's endpoints as a source of rows describes them, each created exactly once.

Plivo has no idempotency key. *Exactly once* therefore rests on three things: a state that records an intent
before each create is sent, walks of the account's list that find what a create with a lost response has made,
and an audit at the end. A row goes through these steps, each in the modules named:

1. It is read and validated together with all others (`_source`, `_rows`, `_load`).
2. It is merged into the state by its key, as a new or an edited row (`_attach`, `_state`).
3. It is compared with the account to find out what to do (`_survey`, `_plan`; `_entries` and `_transitions`
   define the states of a row).
4. It is created at its turn (`_rate`), with an intent that is durable before the first byte leaves
   (`_create`). The first endpoint of all is created alone and checked (`_canary`).
5. If the response was lost, a walk decides, once the create can no longer take effect (`_reconcile`,
   `_listing`).
6. Or it is updated, replaced or deleted (`_change`).
7. It is checked again with all others (`_audit`). Endpoints that have appeared and belong to no row are
   counted (`_strangers`).

After a crash, the next run treats a row with an intent like one whose response was lost, and goes on from
step 3. `_phases` goes through these steps, `_outage` stops the run when nothing gets through, `_run` lets the
caller follow it, and `_fleet` is the public interface. `_reach` has what is used of the client's internals;
`_marks` and `_passwords` recognise edited passwords, and derive them.
"""

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
from plivo_endpoints.provisioning._phase_tracker import Phase
from plivo_endpoints.provisioning._plan import Plan
from plivo_endpoints.provisioning._plan_file import load_plan, save_plan
from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report, Status
from plivo_endpoints.provisioning._results import SipCredentials
from plivo_endpoints.provisioning._rows import Problem, Row, RowSource, Source
from plivo_endpoints.provisioning._run import Progress, Run
from plivo_endpoints.provisioning._source import CsvSource, JsonlSource
from plivo_endpoints.provisioning._state._leases import Worker
from plivo_endpoints.provisioning._state._postgres import PostgresState
from plivo_endpoints.provisioning._state._protocol import (
    Clash,
    EntryStore,
    FleetState,
    Transition,
)
from plivo_endpoints.provisioning._state._sqlite import SqliteState
from plivo_endpoints.provisioning._steps import Change, Permission, Step, StepKind, Steps

__all__ = [
    "AsyncFleet",
    "BlockingRun",
    "CanaryError",
    "Change",
    "Clash",
    "CsvSource",
    "DeletionLimitError",
    "Duplicate",
    "Entry",
    "EntryStore",
    "Fleet",
    "FleetState",
    "JsonlSource",
    "OutageError",
    "Outcome",
    "Permission",
    "Phase",
    "Plan",
    "PostgresState",
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
    "Transition",
    "Worker",
    "load_plan",
    "save_plan",
]

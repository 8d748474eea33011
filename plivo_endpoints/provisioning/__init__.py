"""Bulk provisioning: a source of SIP users in, each made exactly once, whatever happens on the way.

Plivo has no idempotency key, so *exactly once* is made out of a state that knows, before a create leaves,
that it is about to; of lists that are walked to find what was made of a create whose answer was lost; and of
an audit at the end.
"""

from plivo_endpoints.provisioning._apply import Progress, Run
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
from plivo_endpoints.provisioning._plan import Plan, Step
from plivo_endpoints.provisioning._plan_file import load_plan, save_plan
from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report, Status
from plivo_endpoints.provisioning._results import SipCredentials
from plivo_endpoints.provisioning._rows import Problem, Row, RowSource, Source
from plivo_endpoints.provisioning._run import Phase
from plivo_endpoints.provisioning._source import CsvSource, JsonlSource
from plivo_endpoints.provisioning._state._protocol import Change, Clash, FleetState
from plivo_endpoints.provisioning._state._sqlite import SqliteState

__all__ = [
    "AsyncFleet",
    "CanaryError",
    "Change",
    "Clash",
    "CsvSource",
    "DeletionLimitError",
    "Duplicate",
    "Entry",
    "FleetState",
    "JsonlSource",
    "OutageError",
    "Outcome",
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
    "load_plan",
    "save_plan",
]

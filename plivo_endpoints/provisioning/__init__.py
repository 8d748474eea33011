"""Bulk provisioning: a source of SIP users in, each made exactly once, whatever happens on the way.

Plivo has no idempotency key, so *exactly once* is made out of a journal that knows, before a create leaves,
that it is about to; of lists that are walked to find what was made of a create whose answer was lost; and of
an audit at the end.
"""

from plivo_endpoints.provisioning._afterwards import audit, prune, read_report
from plivo_endpoints.provisioning._apply import Progress, Run, apply
from plivo_endpoints.provisioning._errors import (
    CanaryError,
    JournalError,
    OutageError,
    ProvisioningError,
    SourceError,
    StaleError,
)
from plivo_endpoints.provisioning._journal import Change, Clash, Journal, Refusal
from plivo_endpoints.provisioning._plan import Plan, plan
from plivo_endpoints.provisioning._plan_file import load_plan, save_plan
from plivo_endpoints.provisioning._report import Double, Outcome, Report, Status
from plivo_endpoints.provisioning._results import SipCredentials, read_credentials, read_outcomes
from plivo_endpoints.provisioning._rows import Problem, Row, RowSource, Source
from plivo_endpoints.provisioning._run import Phase
from plivo_endpoints.provisioning._source import CsvSource, JsonlSource
from plivo_endpoints.provisioning._sqlite import SqliteJournal
from plivo_endpoints.provisioning._states import Entry, State

__all__ = [
    "CanaryError",
    "Change",
    "Clash",
    "CsvSource",
    "Double",
    "Entry",
    "Journal",
    "JournalError",
    "JsonlSource",
    "OutageError",
    "Outcome",
    "Phase",
    "Plan",
    "Problem",
    "Progress",
    "ProvisioningError",
    "Refusal",
    "Report",
    "Row",
    "RowSource",
    "Run",
    "SipCredentials",
    "Source",
    "SourceError",
    "SqliteJournal",
    "StaleError",
    "State",
    "Status",
    "apply",
    "audit",
    "load_plan",
    "plan",
    "prune",
    "read_credentials",
    "read_outcomes",
    "read_report",
    "save_plan",
]

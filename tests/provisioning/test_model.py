"""The protocol, explored exhaustively: right as a whole, and wrong without any one of its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.provisioning.model import Model
from tests.provisioning.model_audit import AuditModel
from tests.provisioning.model_canary import CanaryModel
from tests.provisioning.model_fleet import (
    FIRST,
    GOING,
    NAMES,
    ONE,
    OTHER_ALIAS,
    TWO,
    DuplicatesModel,
    FleetModel,
)
from tests.provisioning.model_rate import RateModel

if TYPE_CHECKING:
    from tests.provisioning.model_audit import Mismatch

    AnyModel = Model | CanaryModel | RateModel | FleetModel | DuplicatesModel

WHOLE: dict[str, AnyModel] = {
    "one worker": Model(rows=1, workers=1),
    "two workers": Model(rows=1, workers=2),
    "two rows": Model(rows=2, workers=1, troubles=0, ticks=6),
    "strange services": CanaryModel(),
    "one mismatch": AuditModel(mismatches=1, ticks=8),
    "two mismatches": AuditModel(),
    "rate": RateModel(),
    "an edited source": FleetModel(sources=NAMES, visits=0),
    "a colleague": FleetModel(sources=ONE, edits=1),
    "a row that goes and comes back": FleetModel(sources=(*GOING, (OTHER_ALIAS,)), visits=0, kills=2),
    "rows that change places": FleetModel(sources=TWO, edits=1, visits=0),
    "a colleague between two edits": FleetModel(sources=NAMES, losses=0),
}
# Of fewer worlds, as they have to be.
SMALL: dict[str, AnyModel] = {
    "two states": FleetModel(sources=ONE, runs=2, own_states=True, edits=0, kills=0, visits=0),
    "two runs": FleetModel(sources=ONE, runs=2, edits=1, kills=0, visits=0),
    "duplicates": DuplicatesModel(),
}

# What goes wrong without each rule, or each part of one, in the order of docs/explanation/exactly-once.md.
LACKING: dict[str, tuple[AnyModel, str]] = {
    "plan": (Model(rows=1, workers=1, without="plan"), "doubled"),
    "plan: unique": (Model(rows=2, workers=1, troubles=0, without="unique"), "lost"),
    "canary": (CanaryModel(without="canary"), "many that nobody can find again"),
    "canary: alone": (CanaryModel(without="alone"), "many that nobody can find again"),
    "canary: look": (CanaryModel(without="look"), "many that nobody can find again"),
    "canary: answers": (CanaryModel(without="answers"), "many that nobody can find again"),
    "intent": (Model(rows=1, workers=1, without="intent first"), "doubled"),
    "intent: guard": (Model(rows=1, workers=2, without="guard"), "doubled"),
    "parking": (Model(rows=1, workers=1, without="park"), "doubled"),
    "settling": (Model(rows=1, workers=1, without="settle"), "doubled"),
    "reconciling: swap": (Model(rows=1, workers=2, without="swap"), "doubled"),
    "audit": (AuditModel(without="audit"), "silently wrong"),
    "audit: asking": (AuditModel(without="asking"), "silently wrong"),
    "audit: own": (AuditModel(without="own"), "the only one deleted"),
    "audit: lost": (AuditModel(without="lost"), "somebody else's deleted"),
    "audit: idle": (AuditModel(without="idle"), "one in use deleted"),
    "restart": (Model(rows=1, workers=1, without="restart"), "doubled"),
    "restart: state": (Model(rows=1, workers=1, without="state"), "doubled"),
    "restart: spent": (RateModel(without="spent"), "more than the quota"),
    "rate": (RateModel(without="window"), "more than the quota"),
    "rate: hold": (RateModel(without="hold"), "more than the quota"),
    "edit: keys": (
        FleetModel(sources=ONE, kills=0, visits=0, without="keys"),
        "one that nobody knows of",
    ),
    "edit: found by what was sent": (
        FleetModel(
            sources=((FIRST,), (OTHER_ALIAS,)), edits=1, visits=0, without="edit: found by what was sent"
        ),
        "one that nobody knows of",
    ),
    "edit: holders": (
        FleetModel(sources=TWO, edits=1, kills=0, visits=0, without="holders"),
        "one endpoint for two keys",
    ),
    "edit: suffix length": (
        FleetModel(sources=ONE, edits=0, without="suffix length"),
        "a stranger's taken",
    ),
    "drift": (FleetModel(sources=ONE, edits=0, kills=0, without="drift"), "one that is not there"),
    "replace: record first": (
        FleetModel(sources=ONE, edits=1, kills=0, visits=0, without="replace: record first"),
        "the old one deleted before there is a new one",
    ),
    "replace: one at a time": (
        FleetModel(sources=NAMES, visits=0, without="replace: one at a time"),
        "one that nobody knows of",
    ),
    "replace: while it is there": (
        FleetModel(sources=NAMES, losses=0, without="replace: while it is there"),
        "the old one deleted before there is a new one",
    ),
    "delete: only what the state holds": (
        FleetModel(sources=ONE, edits=1, kills=0, without="delete: only what the state holds"),
        "a stranger's deleted",
    ),
    "delete: note it first": (
        FleetModel(sources=GOING, visits=0, losses=0, without="delete: note it first"),
        "one in use deleted",
    ),
    "delete: finish it": (
        FleetModel(sources=GOING, visits=0, losses=0, without="delete: finish it"),
        "one in use deleted",
    ),
    "delete: keep the intent": (
        FleetModel(sources=GOING, kills=0, visits=0, without="delete: keep the intent"),
        "one in use deleted",
    ),
    "gone: settle first": (
        FleetModel(sources=ONE, edits=1, visits=0, without="gone: settle first"),
        "one that nobody knows of",
    ),
    "state lock": (
        FleetModel(sources=ONE, runs=2, edits=1, kills=0, visits=0, without="state lock"),
        "one that nobody knows of",
    ),
    "account lock": (
        FleetModel(sources=ONE, runs=2, own_states=True, edits=0, kills=0, visits=0, without="account lock"),
        "two endpoints of one key",
    ),
    "duplicates: one order": (DuplicatesModel(without="one order"), "the last one deleted"),
    "duplicates: read again": (DuplicatesModel(without="read again"), "the last one deleted"),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", WHOLE.values(), ids=WHOLE)
def test_the_whole_protocol_is_right(model: AnyModel) -> None:
    """No order of events leads to an error, and some order reaches the goal."""
    worlds, wrong, is_done = model.explore()
    assert (wrong, is_done) == (None, True)
    assert worlds > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL.values(), ids=SMALL)
def test_two_at_once_are_right(model: AnyModel) -> None:
    """Two runs, or two deletions of duplicates, do each other no harm, and some order reaches the goal."""
    _, wrong, is_done = model.explore()
    assert (wrong, is_done) == (None, True)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "wrong"), LACKING.values(), ids=LACKING)
def test_each_rule_is_needed(model: AnyModel, wrong: str) -> None:
    """Without it, some order of events leads to an error."""
    assert model.explore().wrong == wrong


@pytest.mark.parametrize("mismatch", ["late", "by hand", "refused", "gone", "alias", "name"])
def test_each_mismatch_needs_the_audit(mismatch: Mismatch) -> None:
    """Without the audit, each mismatch alone can leave a run that wrongly counts as done."""
    assert AuditModel(without="audit", kinds=(mismatch,), mismatches=1).explore().wrong == "silently wrong"

"""An entry as a row of a table, as all databases store it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from plivo_endpoints.provisioning._entries import Entry, RowState, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE: Final = ("number", "line", "key")
_SPEC: Final = tuple(field.name for field in fields(Spec))
_FLAT: Final = tuple(f"{spec}_{name}" for spec in ("wanted", "known", "sent") for name in _SPEC)
_OTHERS: Final = tuple(
    field.name for field in fields(Entry) if field.name not in {*_PLACE, "wanted", "known", "sent"}
)
COLUMNS: Final = (*_PLACE, *_FLAT, *_OTHERS)
# Positions in a row.
_WANTED, _KNOWN, _SENT, _STATE = range(len(_PLACE), len(_PLACE) + len(_FLAT) + 1, len(_SPEC))
_NO_SPEC: Final = (None,) * len(_SPEC)
FROM_SOURCE: Final = COLUMNS[: len(_PLACE) + len(_SPEC)]  # the columns that come from the source
FIXED: Final = COLUMNS.index("known_username")  # the columns before it change only with a new edition
UNIQUE: Final = {"username": "wanted_username", "key": "key"}  # columns of a new edition, by field


def values_of(entry: Entry) -> tuple[str | int | float | None, ...]:
    """Return an entry as a row of the table."""
    # Not `attrs.astuple`, which is slower; and the state is stored by its value.
    return (
        entry.number,
        entry.line,
        entry.key,
        *_values_of_spec(entry.wanted),
        *_values_of_spec(entry.known),
        *_values_of_spec(entry.sent),
        entry.state.value,
        entry.epoch,
        entry.lost,
        entry.intent_at,
        entry.endpoint_id,
        entry.made_as,
        entry.replaces,
        entry.reason,
    )


def _values_of_spec(spec: Spec | None) -> tuple[str | None, ...]:
    return _NO_SPEC if spec is None else (spec.username, spec.alias, spec.app_id, spec.password)


def entry_of(row: Sequence[Any]) -> Entry:
    """Return a row of the table as an entry."""
    number, line, key = row[:_WANTED]
    state, epoch, lost, intent_at, endpoint_id, made_as, replaces, reason = row[_STATE:]
    return Entry(
        number=number,
        line=line,
        key=key,
        wanted=_spec_of(row[_WANTED:_KNOWN]),
        known=None if row[_KNOWN] is None else _spec_of(row[_KNOWN:_SENT]),
        sent=None if row[_SENT] is None else _spec_of(row[_SENT:_STATE]),
        state=RowState(state),
        epoch=epoch,
        lost=lost,
        intent_at=intent_at,
        endpoint_id=endpoint_id,
        made_as=made_as,
        replaces=replaces,
        reason=reason,
    )


def _spec_of(values: Sequence[Any]) -> Spec:
    username, alias, app_id, password = values
    return Spec(username=username, alias=alias, app_id=app_id, password=password)


def new_entry_of(row: Sequence[Any]) -> Entry:
    """Return a row of the new edition's table as an entry."""
    number, line, key, *wanted = row
    return Entry(number=number, line=line, key=key, wanted=_spec_of(wanted))

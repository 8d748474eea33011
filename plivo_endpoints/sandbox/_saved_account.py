"""An account as a JSON document, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import asdict, fields_dict

from plivo_endpoints.sandbox._endpoint import Registration, SandboxEndpoint
from plivo_endpoints.sandbox._json import Json
from plivo_endpoints.sandbox._rules import app_id_error
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory
from plivo_endpoints.sandbox._store import FIRST_ID, LAST_ID, LAST_SUFFIX

_FORMAT = 1
_TYPES: Mapping[str, type] = {
    "auth_id": str,
    "auth_token": str,
    "subaccounts": dict,
    "default_app_id": str,
    "last_id": int,
    "last_suffix": int,
    "endpoints": list,
}


def dump_account(caller: Caller, directory: Directory) -> dict[str, Json]:
    """Return an account, its subaccounts and its endpoints."""
    store = caller.state.store
    return {
        "format": _FORMAT,
        "auth_id": caller.auth_id,
        "auth_token": caller.auth_token,
        "subaccounts": {each.auth_id: each.auth_token for each in directory.subaccounts(caller.state)},
        "default_app_id": store.default_app_id,
        "last_id": store.last_id,
        "last_suffix": store.last_suffix,
        "endpoints": [_dump_endpoint(endpoint) for endpoint in store.snapshot().values()],
    }


def restore_account(saved: Mapping[str, Json], directory: Directory) -> Caller:
    """Let the callers of a saved account sign in.

    Raises:
        ValueError: `saved` is not what `dump_account` returns; the message names the field.
    """
    account = _check_types(saved)
    state = AccountState(account["auth_id"])
    caller = Caller(state=state, auth_id=account["auth_id"], auth_token=account["auth_token"])
    store = state.store
    store.default_app_id = account["default_app_id"]
    store.last_id, store.last_suffix = account["last_id"], account["last_suffix"]
    newest = ""
    for number, each in enumerate(account["endpoints"]):
        endpoint = _restore_endpoint(each, f"endpoints[{number}]")
        if endpoint.account_id != state.auth_id or not newest < endpoint.endpoint_id <= str(store.last_id):
            raise ValueError(f"endpoints[{number}] belongs to another account, or is out of order")
        newest = endpoint.endpoint_id
        store.add(endpoint)
    directory.add(caller)
    for auth_id, auth_token in account["subaccounts"].items():
        if directory.find(auth_id) is not None:
            raise ValueError("subaccounts must have other auth_ids than the account")
        directory.add(Caller(state=state, auth_id=auth_id, auth_token=auth_token))
    return caller


def _check_types(account: Mapping[str, Any]) -> Mapping[str, Any]:
    if account.get("format") != _FORMAT:
        raise ValueError(f"it has no format, or another than {_FORMAT}")
    for name, kind in _TYPES.items():
        if type(account.get(name)) is not kind:  # True is an int to isinstance
            raise ValueError(f"{name} must be of type {kind.__name__}")
    if problem := app_id_error(account["default_app_id"]):
        raise ValueError(f"default_app_id {problem}")
    if not (FIRST_ID <= account["last_id"] <= LAST_ID and 0 <= account["last_suffix"] <= LAST_SUFFIX):
        raise ValueError("last_id or last_suffix is out of range")
    return account


def _dump_endpoint(endpoint: SandboxEndpoint) -> dict[str, Json]:
    return asdict(endpoint, value_serializer=lambda _, __, value: _dump_value(value))


def _dump_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _restore_endpoint(saved: Json, place: str) -> SandboxEndpoint:
    try:
        fields = _read_fields(saved, SandboxEndpoint)
        if fields["registration"] is not None:
            registration = _read_fields(fields["registration"], Registration)
            registration["expires"] = _read_time(registration["expires"])
            fields["registration"] = Registration(**registration)
        fields["created"] = _read_time(fields["created"])
        return SandboxEndpoint(**fields)
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None


def _read_fields(saved: Json, model: type[Any]) -> dict[str, Any]:
    names = list(fields_dict(model))
    if not isinstance(saved, dict) or set(saved) != set(names):
        raise ValueError(f"must be an object of {', '.join(names)}")
    return dict(saved)


def _read_time(value: Any) -> datetime:  # noqa: ANN401 - whatever stands in the file
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("a time must be a string in ISO 8601") from None

"""An account on disk, so that it outlives the program."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import asdict

from plivo_endpoints.sandbox._endpoint import Registration, SandboxEndpoint
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory

_FORMAT = 1


def save_account(path: Path, caller: Caller, directory: Directory) -> None:
    """Write an account, its subaccounts and endpoints; whole or not at all, readable by its owner only."""
    store = caller.state.store
    saved = {
        "format": _FORMAT,
        "auth_id": caller.auth_id,
        "auth_token": caller.auth_token,
        "subaccounts": {each.auth_id: each.auth_token for each in directory.subaccounts(caller.state)},
        "default_app_id": store.default_app_id,
        "last_id": store.last_id,
        "last_suffix": store.last_suffix,
        "endpoints": [asdict(endpoint) for endpoint in store.snapshot().values()],
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    opened = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(opened, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
        json.dump(saved, file, default=datetime.isoformat)
    unfinished.replace(path)


def load_account(path: Path, directory: Directory) -> Caller:
    """Read an account back and let its callers sign in.

    Raises:
        ValueError: the file is not what `save_account` writes.
    """
    try:
        saved = json.loads(path.read_text("utf-8"))
        if saved["format"] == _FORMAT:
            return _restore(saved, directory)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{path} holds no state of a sandbox")


def _restore(saved: dict[str, Any], directory: Directory) -> Caller:
    state = AccountState(saved["auth_id"])
    store = state.store
    store.default_app_id = saved["default_app_id"]
    store.last_id, store.last_suffix = saved["last_id"], saved["last_suffix"]
    for fields in saved["endpoints"]:
        store.add(_read_endpoint(fields))
    caller = Caller(state=state, auth_id=saved["auth_id"], auth_token=saved["auth_token"])
    directory.add(caller)
    for auth_id, auth_token in saved["subaccounts"].items():
        directory.add(Caller(state=state, auth_id=auth_id, auth_token=auth_token))
    return caller


def _read_endpoint(fields: dict[str, Any]) -> SandboxEndpoint:
    read = dict(fields, created=datetime.fromisoformat(fields["created"]))
    if read["registration"] is not None:
        registration = dict(read["registration"])
        registration["expires"] = datetime.fromisoformat(registration["expires"])
        read["registration"] = Registration(**registration)
    return SandboxEndpoint(**read)

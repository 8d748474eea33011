"""Who may log in, in a file: `python users.py NAME SIP_USERNAME` adds a user, or replaces one.

Your site has users already, and a column for the username that Plivo gave to each. This stands in for that.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import secrets
import sys
from pathlib import Path


def add(name: str, sip_username: str, password: str) -> None:
    """Add a user who logs in with a password and calls with an endpoint."""
    users = _read()
    salt = secrets.token_bytes(16)
    users[name] = {
        "sip_username": sip_username,
        "salt": salt.hex(),
        "hash": _hash(password, salt).hex(),
    }
    temporary = _file().with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(users, indent=2))
    temporary.replace(_file())  # in one step, as a server may be reading


def may_log_in(name: str, password: str) -> bool:
    """Whether there is such a user, and this is the password."""
    user = _read().get(name, {"salt": "", "hash": ""})
    # Hash for an unknown name too, so that the time of the answer does not show which names exist.
    return hmac.compare_digest(_hash(password, bytes.fromhex(user["salt"])).hex(), user["hash"])


def sip_username_of(name: str) -> str | None:
    """Return the username of a user's endpoint, with the digits that Plivo appended."""
    return _read().get(name, {}).get("sip_username")


def _file() -> Path:
    return Path(os.environ.get("USERS_FILE", "users.json"))


def _read() -> dict[str, dict[str, str]]:
    users: dict[str, dict[str, str]] = json.loads(_file().read_text()) if _file().exists() else {}
    return users


def _hash(password: str, salt: bytes) -> bytes:
    # JSON can contain half of a surrogate pair, which UTF-8 cannot: such a password is wrong like any other.
    encoded = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(encoded, salt=salt, n=2**14, r=8, p=1)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(f"usage: python {sys.argv[0]} NAME SIP_USERNAME")
    add(sys.argv[1], sys.argv[2], getpass.getpass("Password for the site: "))

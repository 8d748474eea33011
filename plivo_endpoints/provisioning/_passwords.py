"""Passwords that need not be stored: each is derived from a master key, the run and the row."""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b32encode
from typing import TYPE_CHECKING, Final

from plivo_endpoints._config import Unpicklable
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._validation import SURROGATE
from plivo_endpoints.provisioning._marks import make_mark

if TYPE_CHECKING:
    from plivo_endpoints.provisioning._rows import Row

_SHORTEST: Final = 16  # characters of a master key
_LENGTH: Final = 26  # characters of a derived password: 130 bits
_FINGERPRINT: Final = 32  # characters: 128 bits


class Deriver(Unpicklable):
    """Derives the passwords of one fleet."""

    def __init__(self, master_key: str, fleet_id: str) -> None:
        # Stretched once: the phone's owner knows a password and the state holds a mark, and neither must
        # allow guessing the key quickly.
        self._root = stretch(master_key.encode(), fleet_id)

    def password(self, key: str, version: str = "") -> str:
        """Return the password of a row: capital letters and digits, which a phone's keypad can enter."""
        names = (key, version) if version else (key,)
        return b32encode(self._mac(b"password", *names)).decode("ascii")[:_LENGTH]

    def fingerprint(self, *parts: str) -> str:
        """Return a value that shows whether a password has changed, and no more without the master key."""
        return self._mac(b"fingerprint", *parts).hex()[:_FINGERPRINT]

    @property
    def mark(self) -> str:
        """What the state keeps to recognise the same master key."""
        return self._mac(b"mark", "").hex()

    def _mac(self, purpose: bytes, *parts: str) -> bytes:
        return hmac.digest(self._root, b"\0".join([purpose, *map(str.encode, parts)]), "sha256")


def password_of(row: Row, deriver: Deriver | None) -> str:
    """Return a row's password: its own, or the derived one."""
    if row.password is not None:
        return row.password
    if deriver is None:
        raise AssertionError("a row without a password was accepted without a master key")
    return deriver.password(row.key, row.password_version)


def mark_of(row: Row, deriver: Deriver | None) -> str:
    """Return what the state keeps to detect that a row's password was edited.

    With a master key it contains a fingerprint. Without one, nothing about the password may be stored, so
    only `password_version` shows an edit.
    """
    if deriver is None:
        return make_mark("", row.password_version, derived=False)
    fingerprint = deriver.fingerprint(row.key, password_of(row, deriver))
    return make_mark(fingerprint, row.password_version, derived=row.password is None)


def master_key_of(given: str | None) -> str | None:
    """Return the master key: the given one, or that of the environment variable `PLIVO_PROVISION_KEY`."""
    key = given or os.environ.get("PLIVO_PROVISION_KEY") or None
    if key is not None and len(key) < _SHORTEST:
        raise InvalidArgumentError("master_key", f"must have at least {_SHORTEST} characters")
    if key is not None and SURROGATE.search(key):
        raise InvalidArgumentError("master_key", "must be valid UTF-8 text")
    return key


def stretch(secret: bytes, salt: str) -> bytes:
    """Return a hash of a secret that takes about 50 ms and 16 MB to compute, so that guessing is slow."""
    return hashlib.scrypt(secret, salt=salt.encode(), n=2**14, r=8, p=1, dklen=32)

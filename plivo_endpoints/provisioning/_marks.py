"""Password marks: what the state keeps of a password to detect that it was edited, without revealing it.

A mark has three parts, separated by colons: a kind, a fingerprint that can only be computed with the master
key, and the row's `password_version`. The kind is `d` for a password derived from the master key, `h` for one
from the source, and `v` without a master key and so without a fingerprint. The prefix `u:` means that the
fleet has not sent that password: the endpoint was imported, or the fingerprint was computed only later.
"""

from __future__ import annotations

from typing import Final

UNSENT: Final = "u:"
UNCERTAIN: Final = "?"  # an update was sent, so it is unknown which of two passwords is set


def make_mark(fingerprint: str, version: str, *, derived: bool) -> str:
    """Return the mark of a password."""
    kind = "v" if not fingerprint else "d" if derived else "h"
    return f"{kind}:{fingerprint}:{version}"


def derived_version(mark: str) -> str | None:
    """Return the `password_version` of a derived password; `None` for another one."""
    kind, _, version = _parts(mark)
    return version if kind == "d" else None


def unsent(mark: str) -> str:
    """Return the mark of a password that was never sent."""
    return UNSENT + mark.removeprefix(UNSENT)


def is_edited(known: str, wanted: str) -> bool:
    """Whether the password has to be sent; two that cannot be compared count as equal."""
    if known == UNCERTAIN:
        return True
    kind, fingerprint, version = _parts(known)
    wanted_kind, wanted_fingerprint, wanted_version = _parts(wanted)
    if version != wanted_version:
        return True
    if fingerprint and wanted_fingerprint:
        return fingerprint != wanted_fingerprint
    return "d" in {kind, wanted_kind}  # one is derived and the other is not


def is_known(known: str, wanted: str) -> bool:
    """Whether the fleet is known to have sent the wanted password."""
    if known == UNCERTAIN or known.startswith(UNSENT) or is_edited(known, wanted):
        return False
    return bool(_parts(known)[1]) == bool(_parts(wanted)[1])


def merge(known: str, wanted: str) -> str:
    """Return the combined mark of a password that was not edited, as far as marks show."""
    fingerprint, wanted_fingerprint = _parts(known)[1], _parts(wanted)[1]
    if fingerprint and not wanted_fingerprint:
        return known  # a run without the master key must not lose a fingerprint
    if known.startswith(UNSENT) or (wanted_fingerprint and not fingerprint):
        return unsent(wanted)
    return wanted


def _parts(mark: str) -> tuple[str, str, str]:
    kind, fingerprint, version = mark.removeprefix(UNSENT).split(":", 2)
    return kind, fingerprint, version

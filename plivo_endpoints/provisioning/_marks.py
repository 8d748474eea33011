"""What the state keeps of a password: enough to see that it was edited, and of no use to anybody else.

A mark has three parts, with colons between: a kind, a fingerprint that takes the master key to make, and the
row's `password_version`. The kind is `d` for a password derived from the master key, `h` for one that the
source gives, `v` where there is no master key and so no fingerprint. `u:` comes before it where the fleet has
not sent that password: an endpoint was imported, or the fingerprint was made only later.
"""

from __future__ import annotations

from typing import Final

UNSENT: Final = "u:"
IN_DOUBT: Final = "?"  # an update was sent: which of two passwords it is, is not known


def make_mark(fingerprint: str, version: str, *, derived: bool) -> str:
    """Return the mark of a password."""
    kind = "v" if not fingerprint else "d" if derived else "h"
    return f"{kind}:{fingerprint}:{version}"


def unsent(mark: str) -> str:
    """Return the mark of a password that was never sent."""
    return UNSENT + mark.removeprefix(UNSENT)


def is_edited(known: str, wanted: str) -> bool:
    """Whether the password has to be sent. Two that cannot be compared count as the same."""
    if known == IN_DOUBT:
        return True
    kind, fingerprint, version = _parts(known)
    wanted_kind, wanted_fingerprint, wanted_version = _parts(wanted)
    if version != wanted_version:
        return True
    if fingerprint and wanted_fingerprint:
        return fingerprint != wanted_fingerprint
    return "d" in {kind, wanted_kind}  # one is derived and the other was typed


def is_known(known: str, wanted: str) -> bool:
    """Whether the fleet has sent the wanted password, as far as that can be told."""
    if known == IN_DOUBT or known.startswith(UNSENT) or is_edited(known, wanted):
        return False
    return bool(_parts(known)[1]) == bool(_parts(wanted)[1])


def merge(known: str, wanted: str) -> str:
    """Return the mark of a password that is not edited, as far as that can be told."""
    fingerprint, wanted_fingerprint = _parts(known)[1], _parts(wanted)[1]
    if fingerprint and not wanted_fingerprint:
        return known  # without the master key nothing is to be forgotten
    if known.startswith(UNSENT) or (wanted_fingerprint and not fingerprint):
        return unsent(wanted)
    return wanted


def _parts(mark: str) -> tuple[str, str, str]:
    kind, fingerprint, version = mark.removeprefix(UNSENT).split(":", 2)
    return kind, fingerprint, version

"""JSON Web Tokens as Plivo issues them for its Voice SDKs."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping

from plivo_endpoints.sandbox._json import Json, RefusedError, is_text
from plivo_endpoints.sandbox._rules import MAX_TEXT

MIN_LIFETIME = 180  # seconds
MAX_LIFETIME = 86_400

HEADER: dict[str, Json] = {"alg": "HS256", "cty": "plivo;v=1", "typ": "JWT"}
# The official Python SDK can send these numbers only as strings.
_EPOCH = re.compile(r"[0-9]{1,12}", re.ASCII)
_LAST_EPOCH = 10**12


def read_claims(body: Mapping[str, Json], auth_id: str, now: int) -> dict[str, Json]:
    """Return the claims of the token that `body` requests, with defaults for missing ones.

    Raises:
        RefusedError: `iss` is not the caller, a value has the wrong type, the lifetime is not between 3
            minutes and 24 hours, or incoming calls are allowed without a `sub`.
    """
    if body.get("iss") != auth_id:
        raise RefusedError("iss must be the auth_id")
    nbf = _epoch(body, "nbf", now)
    exp = _epoch(body, "exp", nbf + MAX_LIFETIME)
    if not MIN_LIFETIME <= exp - nbf <= MAX_LIFETIME:
        raise RefusedError("exp must be 3 minutes to 24 hours after nbf")
    subject = _text(body, "sub")
    incoming, outgoing = read_permissions(body)
    if incoming and not subject:
        raise RefusedError("sub is required when incoming_allow is true")
    return {
        "app": _text(body, "app"),
        "exp": exp,
        "iss": auth_id,
        "nbf": nbf,
        "per": {"voice": {"incoming_allow": incoming, "outgoing_allow": outgoing}},
        "sub": subject,
    }


def sign(claims: Mapping[str, Json], key: str) -> str:
    """Return the signed token (HS256)."""
    signed = f"{_segment(HEADER)}.{_segment(claims)}"
    return f"{signed}.{signature(signed, key)}"


def signature(signed: str, key: str) -> str:
    """Return the last part of a token, for the parts before it."""
    return _base64url(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))


def _epoch(body: Mapping[str, Json], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, str) and _EPOCH.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LAST_EPOCH:
        return value
    raise RefusedError(f"{name} must be an integer, in seconds since the epoch")


def _text(body: Mapping[str, Json], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not is_text(value) or len(str(value)) > MAX_TEXT:
        raise RefusedError(f"{name} must be a string of at most {MAX_TEXT} characters")
    return str(value)


def read_permissions(body: Mapping[str, Json]) -> tuple[bool, bool]:
    """Return whether incoming and outgoing calls are allowed.

    Raises:
        RefusedError: `per` has another form.
    """
    permissions = _mapping(body, "per", ("voice",))
    voice = _mapping(permissions, "voice", ("incoming_allow", "outgoing_allow"))
    return _flag(voice, "incoming_allow"), _flag(voice, "outgoing_allow")


def _mapping(body: Mapping[str, Json], name: str, known: tuple[str, ...]) -> Mapping[str, Json]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not set(value) <= set(known):
        raise RefusedError(f"{name} must be an object without other keys than {', '.join(known)}")
    return value


def _flag(voice: Mapping[str, Json], name: str) -> bool:
    value = voice.get(name, False)
    if not isinstance(value, bool):
        raise RefusedError(f"{name} must be true or false")
    return value


def _segment(value: Mapping[str, Json]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")

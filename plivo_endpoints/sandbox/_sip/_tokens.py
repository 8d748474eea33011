"""Logins by token, as Plivo's Voice SDKs send them: `X-Plivo-Jwt` in a REGISTER for `{sub}_{iss}`."""

import base64
import hmac
import re
from collections.abc import Mapping
from enum import IntEnum

from attrs import frozen

from plivo_endpoints.sandbox._json import Json, RefusedError, is_text, read_object
from plivo_endpoints.sandbox._state import Caller, Directory
from plivo_endpoints.sandbox._tokens import HEADER, MAX_LIFETIME, read_permissions, signature

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
# As the browser SDK names a login by a token without a subject.
_NO_SUBJECT = r"puser[0-9]{1,20}jt"


class TokenError(IntEnum):
    """Why a token is refused, by the codes and names of Plivo's browser SDK."""

    INVALID_ACCESS_TOKEN = 10001
    INVALID_ACCESS_TOKEN_HEADER = 10002
    INVALID_ACCESS_TOKEN_ISSUER = 10003
    INVALID_ACCESS_TOKEN_SUBJECT = 10004
    ACCESS_TOKEN_NOT_VALID_YET = 10005
    ACCESS_TOKEN_EXPIRED = 10006
    INVALID_ACCESS_TOKEN_SIGNATURE = 10007
    INVALID_ACCESS_TOKEN_GRANTS = 10008
    EXPIRATION_EXCEEDS_MAX_ALLOWED_TIME = 10009


class TokenRefusedError(Exception):
    """The token does not allow this login."""

    def __init__(self, error: TokenError) -> None:
        super().__init__(error.name)
        self.error = error


@frozen(kw_only=True)
class TokenLogin:
    """A valid token: whose it is, for whom, and until when, in seconds since the epoch."""

    caller: Caller
    subject: str
    expires: int


def read_token(token: str, user: str, directory: Directory) -> TokenLogin:
    """Verify a token by its issuer's key and clock, for the login of `user`.

    Raises:
        TokenRefusedError: with the first reason that is found.
    """
    match = _TOKEN.fullmatch(token)
    header, claims = (_segment(match[1]), _segment(match[2])) if match else (None, None)
    if match is None or header is None or claims is None:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN)
    if header != HEADER:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_HEADER)
    issuer = claims.get("iss")
    caller = directory.find(issuer) if isinstance(issuer, str) else None
    if caller is None:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_ISSUER)
    if not hmac.compare_digest(signature(f"{match[1]}.{match[2]}", caller.auth_token), match[3]):
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_SIGNATURE)
    return _login(claims, user, caller)


def _segment(text: str) -> dict[str, Json] | None:
    try:
        return read_object(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RefusedError):
        return None


def _login(claims: Mapping[str, Json], user: str, caller: Caller) -> TokenLogin:
    subject = claims.get("sub", "")
    if not isinstance(subject, str) or not is_text(subject) or not _is_for(user, subject, caller.auth_id):
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_SUBJECT)
    start, end = claims.get("nbf"), claims.get("exp")
    if type(start) is not int or type(end) is not int:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN)
    now = int(caller.state.clock.now().timestamp())
    if start > now:
        raise TokenRefusedError(TokenError.ACCESS_TOKEN_NOT_VALID_YET)
    if end <= now:
        raise TokenRefusedError(TokenError.ACCESS_TOKEN_EXPIRED)
    if end - start > MAX_LIFETIME:
        raise TokenRefusedError(TokenError.EXPIRATION_EXCEEDS_MAX_ALLOWED_TIME)
    _check_grants(claims, subject)
    return TokenLogin(caller=caller, subject=subject, expires=end)


def _is_for(user: str, subject: str, auth_id: str) -> bool:
    if subject:
        return user == f"{subject}_{auth_id}"
    return re.fullmatch(f"{_NO_SUBJECT}_{re.escape(auth_id)}", user, re.ASCII) is not None


def _check_grants(claims: Mapping[str, Json], subject: str) -> None:
    try:
        incoming, _ = read_permissions(claims)
    except RefusedError:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_GRANTS) from None
    if incoming and not subject:
        raise TokenRefusedError(TokenError.INVALID_ACCESS_TOKEN_GRANTS)

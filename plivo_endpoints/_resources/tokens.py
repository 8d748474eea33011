"""Access tokens: JWTs, issued by Plivo, that let a browser or phone log in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._models import IssuedToken, Token
from plivo_endpoints._request_models import (
    MAX_LIFETIME,
    REFRESH_BEFORE,
    NewToken,
    cached_token_times,
    token_times,
)
from plivo_endpoints._resources.base import AsyncResource
from plivo_endpoints._sansio.messages import Operation
from plivo_endpoints._token_cache import CLOCK_SKEW, TokenKey
from plivo_endpoints._validation import check_text

# Repeatable: a second token does no harm.
CREATE: Final = Operation("tokens.create", "POST", "JWT/Token/", returns=IssuedToken, repeatable=True)


class AsyncTokens(AsyncResource):
    """Tokens for browsers and phones."""

    async def create(
        self,
        *,
        sub: str | None = None,
        nbf: datetime | int | None = None,
        exp: datetime | int | None = None,
        lifetime: timedelta | None = None,
        app: str | None = None,
        incoming_allow: bool = False,
        outgoing_allow: bool = False,
    ) -> Token:
        """Create a token.

        Times are aware datetimes or whole epoch seconds. Without `exp` and `lifetime`, it lasts 24 hours.

        Args:
            sub: Who may log in with it, usually an endpoint's `username`; required for incoming calls.
            nbf: Start of its validity; defaults to now. Ten seconds ago helps phones with a slow clock.
            exp: End of its validity, 3 minutes to 24 hours after `nbf`.
            lifetime: How long it lasts from `nbf` on, instead of `exp`.
            app: The application that handles its calls.
            incoming_allow: Whether to allow incoming calls.
            outgoing_allow: Whether to allow outgoing calls.

        Raises:
            InvalidArgumentError: If an argument is invalid; nothing was sent.
        """
        now = int(CLOCK.wall())
        start, end = token_times(nbf=nbf, exp=exp, lifetime=lifetime, now=now)
        new = NewToken(
            iss=self._executor.auth_id,
            sub=sub,
            nbf=start,
            exp=end,
            app=app,
            incoming_allow=incoming_allow,
            outgoing_allow=outgoing_allow,
        )
        issued = await self._executor.execute(CREATE, new)
        expires_at = issued.claims.exp if issued.claims else None
        if expires_at is None:
            requested = (now if start is None else start) + MAX_LIFETIME if end is None else end
            expires_at = datetime.fromtimestamp(requested, UTC)
        return Token(jwt=issued.jwt, claims=issued.claims, expires_at=expires_at, api_id=issued.api_id)

    async def cached(
        self,
        *,
        sub: str | None = None,
        lifetime: timedelta = timedelta(hours=24),
        app: str | None = None,
        incoming_allow: bool = False,
        outgoing_allow: bool = False,
        refresh_before: timedelta = REFRESH_BEFORE,
    ) -> Token:
        """Return a cached token, or create one and cache it for later calls with the same arguments.

        Concurrent calls share one request, unless they are made by views with other options. In the last
        quarter of the time in which a token may be returned, a call also starts a refresh in the background.
        If that fails, it is tried again later, and the old token is returned as long as it may be. A call
        waits only if there is no usable token.

        The client caches at most 10,000 tokens for each event loop, evicts the least recently used, and none
        are left after `close`. A token begins ten seconds in the past, because the clocks of this machine,
        Plivo and phones differ.

        Args:
            sub: Who may log in with it, usually an endpoint's `username`; required for incoming calls.
            lifetime: How long a new token lasts, 3 minutes to 24 hours, counted from ten seconds ago.
            app: The application that handles its calls.
            incoming_allow: Whether to allow incoming calls.
            outgoing_allow: Whether to allow outgoing calls.
            refresh_before: The least time that a returned token has left, at least a minute shorter than
                `lifetime`. Plivo's browser SDK asks for the next token a minute before the end, so a token
                with less left would make it ask again and again.

        Raises:
            InvalidArgumentError: If an argument is invalid; nothing was sent.
            APIError, TransportError: If there is no usable token, and none could be created.
        """
        request = NewToken(
            iss=self._executor.auth_id,
            sub=sub,
            app=app,
            incoming_allow=incoming_allow,
            outgoing_allow=outgoing_allow,
        )
        request.check()
        lifetime_seconds, seconds_before = cached_token_times(lifetime, refresh_before)
        return await self._executor.cached_token(
            TokenKey(request, lifetime_seconds),
            lambda: self.create(
                sub=sub,
                nbf=int(CLOCK.wall()) - CLOCK_SKEW,
                lifetime=lifetime,
                app=app,
                incoming_allow=incoming_allow,
                outgoing_allow=outgoing_allow,
            ),
            seconds_before,
        )

    async def invalidate(self, sub: str | None = None) -> None:
        """Forget the cached tokens of `sub`, or all of them, so that the next `cached` creates a new one.

        Plivo cannot revoke a token: one that was handed out works until it expires. If the client is used in
        other event loops too, those forget their tokens in their next iteration.
        """
        if sub is not None:
            check_text("sub", sub)
        self._executor.invalidate_tokens(sub)

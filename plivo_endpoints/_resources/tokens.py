"""Access tokens: JWTs, issued by Plivo, that let a browser or phone log in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._models import IssuedToken, Token
from plivo_endpoints._request_models import MAX_LIFETIME, NewToken, kept_token_times, token_times
from plivo_endpoints._resources.base import AsyncResource
from plivo_endpoints._sansio.messages import Operation
from plivo_endpoints._validation import check_text

# Repeatable: a second token does no harm.
CREATE: Final = Operation("tokens.create", "POST", "JWT/Token/", returns=IssuedToken, repeatable=True)

_CLOCK_SKEW: Final = 10  # seconds by which the clocks of this machine, Plivo and phones may differ


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
        refresh_before: timedelta = timedelta(minutes=2),
    ) -> Token:
        """Return a kept token, or create one that is kept for the next caller with the same arguments.

        However many ask at once, one request is made. In the last quarter of the time in which a token may be
        returned, a call also starts its renewal in the background, and nobody waits. If the renewal fails, it
        is tried again later, and the old token is returned as long as it may be. A call waits only if there
        is no token, or if nobody asked during that last quarter.

        The client keeps at most 10,000 tokens for each event loop, and none after `close`. A token begins ten
        seconds in the past, because the clocks of this machine, Plivo and phones differ.

        Args:
            sub: Who may log in with it, usually an endpoint's `username`; required for incoming calls.
            lifetime: How long a new token lasts, 3 minutes to 24 hours.
            app: The application that handles its calls.
            incoming_allow: Whether to allow incoming calls.
            outgoing_allow: Whether to allow outgoing calls.
            refresh_before: The least time that a returned token has left, at least a minute shorter than
                `lifetime`. Plivo's browser SDK asks for the next token a minute before the end, so a token
                with less left would make it ask again and again.

        Raises:
            InvalidArgumentError: If an argument is invalid; nothing was sent.
            APIError, TransportError: If there is no token to return, and none could be created.
        """
        key = NewToken(
            iss=self._executor.auth_id,
            sub=sub,
            app=app,
            incoming_allow=incoming_allow,
            outgoing_allow=outgoing_allow,
        )
        key.check()
        lasts, before = kept_token_times(lifetime, refresh_before)
        return await self._executor.token_cache().get(
            (key, lasts),
            lambda: self.create(
                sub=sub,
                nbf=int(CLOCK.wall()) - _CLOCK_SKEW,
                lifetime=lifetime,
                app=app,
                incoming_allow=incoming_allow,
                outgoing_allow=outgoing_allow,
            ),
            before,
        )

    async def invalidate(self, sub: str | None = None) -> None:
        """Forget the kept tokens of `sub`, or all of them: the next `cached` creates a new one.

        Plivo cannot revoke a token: one that was handed out works until it expires.
        """
        if sub is not None:
            check_text("sub", sub)
        self._executor.token_cache().invalidate(sub)

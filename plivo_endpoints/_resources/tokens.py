"""Access tokens: JWTs, issued by Plivo, that let a browser or phone log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._models import Token
from plivo_endpoints._request_models import NewToken, token_times
from plivo_endpoints._resources.base import AsyncResource
from plivo_endpoints._sansio.messages import Operation

if TYPE_CHECKING:
    from datetime import datetime, timedelta

# Repeatable: a second token does no harm.
CREATE: Final = Operation("tokens.create", "POST", "JWT/Token/", returns=Token, repeatable=True)


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
        start, end = token_times(nbf=nbf, exp=exp, lifetime=lifetime, now=int(CLOCK.wall()))
        new = NewToken(
            iss=self._executor.auth_id,
            sub=sub,
            nbf=start,
            exp=end,
            app=app,
            incoming_allow=incoming_allow,
            outgoing_allow=outgoing_allow,
        )
        return await self._executor.execute(CREATE, new)

"""The blocking twins: each method runs the async one of the same name.

They are written out, and not derived, because editors and documentation tools read source and do not run it.
A test holds signatures and docstrings to those of the async classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plivo_endpoints._blocking import BlockingResource, Paginator
from plivo_endpoints._resources.endpoints import AsyncEndpoints
from plivo_endpoints._resources.tokens import AsyncTokens

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from plivo_endpoints._models import Acknowledgement, CreatedEndpoint, Endpoint, Page, Token


class Endpoints(BlockingResource[AsyncEndpoints]):
    """SIP users: make, read, change and delete them."""

    def create(
        self, *, username: str, password: str, alias: str, app_id: str | None = None
    ) -> CreatedEndpoint:
        """Create an endpoint; it is sent once, whatever happens.

        Args:
            username: 1 to 25 letters and digits, the first a letter. Plivo appends digits: phones register
                with the `username` of the result.
            password: The SIP password, at least 5 characters.
            alias: A name for people.
            app_id: The application that handles its calls; the account's default one without it.

        Raises:
            InvalidArgumentError: An argument breaks a rule; nothing was sent.
            OutcomeUnknownError: It was sent, but the answer is lost: ask `find_created`, do not repeat it.
            APIError: Plivo refused; nothing was made.
            TransportError: It never left.
        """
        return self._run(
            lambda: self._async.create(username=username, password=password, alias=alias, app_id=app_id)
        )

    def get(self, endpoint_id: str) -> Endpoint:
        """Read an endpoint, with its registration if a phone is registered.

        Raises:
            NotFoundError: There is none of that id, or no longer.
        """
        return self._run(lambda: self._async.get(endpoint_id))

    def list(self, *, page_size: int = 20, offset: int = 0, prefetch: int = 0) -> Paginator[Endpoint]:
        """Iterate over all endpoints, one page in memory at a time.

        What is deleted meanwhile, also by the loop itself, moves others past the walk: to delete what you
        find, collect it first.

        Args:
            page_size: Endpoints per request, 1 to 20.
            offset: Endpoints to skip.
            prefetch: How many further pages to keep under way while you work on one, in order. Helps where
                lists are linked by offset, as Plivo's are documented to be.
        """
        return Paginator(
            self._async.list(page_size=page_size, offset=offset, prefetch=prefetch), self._runner
        )

    def list_page(self, *, limit: int = 20, offset: int = 0) -> Page[Endpoint]:
        """Read one page of the list, 1 to 20 endpoints from `offset` on."""
        return self._run(lambda: self._async.list_page(limit=limit, offset=offset))

    def update(
        self,
        endpoint_id: str,
        *,
        password: str | None = None,
        alias: str | None = None,
        app_id: str | None = None,
    ) -> Acknowledgement:
        """Change an endpoint; what is `None` keeps its value. The username cannot change.

        Raises:
            InvalidArgumentError: An argument breaks a rule, or there is nothing to change.
            NotFoundError: There is no endpoint of that id, or no longer.
        """
        return self._run(
            lambda: self._async.update(endpoint_id, password=password, alias=alias, app_id=app_id)
        )

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint for ever.

        A deletion whose answer is lost is sent again; that the second finds nothing is then its success.

        Raises:
            NotFoundError: There was none of that id.
        """
        self._run(lambda: self._async.delete(endpoint_id))

    def find_created(
        self,
        *,
        username: str,
        alias: str,
        sent_at: datetime,
        elapsed: float | None = None,
        settle: float = 120.0,
    ) -> tuple[Endpoint, ...]:
        """Find the endpoints that a create with an unknown outcome may have made.

        It takes what an `OutcomeUnknownError` tells, rather than the error: a crashed program has none left.
        Endpoints match whose alias is equal and whose username is the one asked for and digits, so an older
        endpoint of the same name and alias matches too. Matches are returned as soon as a walk of the list
        finds some. Finding none proves nothing while the create may still land, or where endpoints vanish
        during the walk and move others past it: an empty answer comes only from a walk begun `settle` seconds
        after the create left, during which the list never shrank and was complete; until then this looks
        again. The first such walk begins `settle` seconds from now at the latest.

        Args:
            username: As it was asked for, without the digits.
            alias: As it was asked for.
            sent_at: When the create left; an aware time. It is compared with the system clock once, now.
            elapsed: Seconds since the create left, `OutcomeUnknownError.elapsed`. Counts instead of `sent_at`
                and stays right where the system clock was changed meanwhile; in another process it is `None`.
            settle: Seconds after which a lost create counts as never carried out.

        Raises:
            ResponseDecodeError: An endpoint in the list may be it, but its alias or username cannot be read;
                or the list was still incomplete when it was read for the third time after that.
        """
        return self._run(
            lambda: self._async.find_created(
                username=username, alias=alias, sent_at=sent_at, elapsed=elapsed, settle=settle
            )
        )


class Tokens(BlockingResource[AsyncTokens]):
    """Tokens for browsers and phones."""

    def create(
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
        """Mint a token.

        Times are aware datetimes or whole epoch seconds. Without `exp` and `lifetime` it lasts 24 hours.

        Args:
            sub: Whom the token lets in, usually an endpoint's `username`; required for incoming calls.
            nbf: When it starts to be valid; now without it. Ten seconds ago spares phones with a slow clock.
            exp: When it ends, 3 minutes to 24 hours after `nbf`.
            lifetime: How long it lasts from `nbf` on, instead of `exp`.
            app: The application that handles its calls.
            incoming_allow: May take calls.
            outgoing_allow: May make calls.

        Raises:
            InvalidArgumentError: An argument breaks a rule; nothing was sent.
        """
        return self._run(
            lambda: self._async.create(
                sub=sub,
                nbf=nbf,
                exp=exp,
                lifetime=lifetime,
                app=app,
                incoming_allow=incoming_allow,
                outgoing_allow=outgoing_allow,
            )
        )

"""The blocking resources: each method runs the async one of the same name.

They are written out and not generated, because editors and documentation tools read source without running
it. A test checks that signatures and docstrings match those of the async classes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from plivo_endpoints._pagination import Paginator
from plivo_endpoints._request_models import REFRESH_BEFORE
from plivo_endpoints._resources.base import BlockingResource
from plivo_endpoints._resources.endpoints import AsyncEndpoints
from plivo_endpoints._resources.tokens import AsyncTokens

if TYPE_CHECKING:
    from datetime import datetime

    from plivo_endpoints._models import Acknowledgement, CreatedEndpoint, Endpoint, Page, Token


class Endpoints(BlockingResource[AsyncEndpoints]):
    """SIP users: create, read, update and delete them."""

    def create(
        self, *, username: str, password: str, alias: str, app_id: str | None = None
    ) -> CreatedEndpoint:
        """Create an endpoint; the request is sent again only if Plivo has certainly not carried it out.

        Args:
            username: 1 to 25 letters and digits, the first a letter. Plivo appends digits: phones register
                with the `username` of the result.
            password: The SIP password, at least 5 characters.
            alias: A human-readable name.
            app_id: The application that handles its calls. Defaults to the account's default application.

        Raises:
            InvalidArgumentError: If an argument is invalid; nothing was sent.
            OutcomeUnknownError: If it was sent but the response is lost: do not repeat it, call
                `find_created`. If the call was cancelled or interrupted, it is that exception's `__cause__`.
            APIError: If Plivo rejected it; nothing was created.
            TransportError: If it was never sent.
        """
        return self._run(
            lambda: self._async.create(username=username, password=password, alias=alias, app_id=app_id)
        )

    def get(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint, with its registration if a phone is registered.

        Raises:
            NotFoundError: If no endpoint has that id, or no longer.
        """
        return self._run(lambda: self._async.get(endpoint_id))

    def list(
        self,
        *,
        alias: str | None = None,
        username_prefix: str | None = None,
        app_id: str | None = None,
        registered: bool | None = None,
        page_size: int = 20,
        offset: int = 0,
        prefetch: int = 0,
    ) -> Paginator[Endpoint]:
        """Iterate over all endpoints, or those that match, one page in memory at a time.

        Plivo cannot filter its list. So every page is requested whatever the filter, and the endpoints are
        compared here. An endpoint matches if it has all the given values. If a value is missing from it or
        cannot be read, it does not match.

        Deleting endpoints during the iteration, even from the loop itself, makes it skip others. To delete
        what you find, collect it first.

        Args:
            alias: Only endpoints with exactly this alias.
            username_prefix: Only endpoints whose username, with the digits that Plivo appended, begins with
                this. Case matters.
            app_id: Only endpoints that this application is attached to.
            registered: Only endpoints that a phone is (`True`) or is not (`False`) registered with.
            page_size: Endpoints per request, 1 to 20.
            offset: Number of endpoints to skip, whether they match or not.
            prefetch: Number of pages to request ahead while you process one. Only helps if lists are linked
                by offset, as Plivo's are documented to be.
        """
        return Paginator(
            self._async.list(
                alias=alias,
                username_prefix=username_prefix,
                app_id=app_id,
                registered=registered,
                page_size=page_size,
                offset=offset,
                prefetch=prefetch,
            ),
            self._runner,
        )

    def list_page(self, *, limit: int = 20, offset: int = 0) -> Page[Endpoint]:
        """Return one page of the list: 1 to 20 endpoints, starting at `offset`."""
        return self._run(lambda: self._async.list_page(limit=limit, offset=offset))

    def update(
        self,
        endpoint_id: str,
        *,
        password: str | None = None,
        alias: str | None = None,
        app_id: str | None = None,
    ) -> Acknowledgement:
        """Change an endpoint; arguments that are `None` keep their value. The username cannot be changed.

        Raises:
            InvalidArgumentError: If an argument is invalid, or all of them are `None`.
            NotFoundError: If no endpoint has that id, or no longer.
        """
        return self._run(
            lambda: self._async.update(endpoint_id, password=password, alias=alias, app_id=app_id)
        )

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint permanently.

        A delete whose response is lost is sent again; a 404 for the second one then counts as success.

        Raises:
            NotFoundError: If no endpoint had that id.
        """
        self._run(lambda: self._async.delete(endpoint_id))

    def wait_registered(self, endpoint_id: str, *, timeout: float) -> Endpoint:
        """Wait until a phone is registered with an endpoint, and return the endpoint.

        Plivo does not notify anyone, so the endpoint is read at once, then after 0.5 s, 1 s, 2 s and so on up
        to every 5 s, and for the last time when `timeout` has passed. Each time is a request that counts
        against the rate limit. While Plivo cannot be reached, fails or refuses with 429, waiting continues.

        Args:
            endpoint_id: The endpoint's id.
            timeout: Seconds to wait, zero or more. No request begins later, but the last one may take as long
                as any call of this client.

        Raises:
            NotRegisteredError: If no phone was registered when the endpoint was last read.
            NotFoundError: As soon as no endpoint has that id.
            TransportError, ServerError, RateLimitedError: If the last request failed in this way, so it is
                unknown whether a phone is registered.
        """
        return self._run(lambda: self._async.wait_registered(endpoint_id, timeout=timeout))

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

        It takes the attributes of an `OutcomeUnknownError` rather than the error, which a crashed program no
        longer has. An endpoint matches if its alias is equal and its username is the requested one followed
        by digits, so an older endpoint of the same name and alias matches too. Matches are returned as soon
        as the list contains any. An empty result proves nothing while the create may still be carried out, or
        if deletes during the walk move other endpoints past it. So the list is read again until a walk that
        began `settle` seconds after the create was sent was complete and did not see the list shrink. The
        first such walk begins at most `settle` seconds from now.

        Args:
            username: The requested username, without the appended digits.
            alias: The requested alias.
            sent_at: When the create was sent, as an aware datetime. It is compared with the system clock
                once, at the start.
            elapsed: Seconds since the create was sent, `OutcomeUnknownError.elapsed`. Takes precedence over
                `sent_at`, since it stays right if the system clock is changed; in another process it is
                `None`.
            settle: Seconds after which a lost create counts as never carried out.

        Raises:
            ResponseDecodeError: If an endpoint in the list may match, but its alias or username cannot be
                read; or if the list was incomplete in three walks after `settle`.
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

    def cached(
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
        return self._run(
            lambda: self._async.cached(
                sub=sub,
                lifetime=lifetime,
                app=app,
                incoming_allow=incoming_allow,
                outgoing_allow=outgoing_allow,
                refresh_before=refresh_before,
            )
        )

    def invalidate(self, sub: str | None = None) -> None:
        """Forget the cached tokens of `sub`, or all of them, so that the next `cached` creates a new one.

        Plivo cannot revoke a token: one that was handed out works until it expires. If the client is used in
        other event loops too, those forget their tokens in their next iteration.
        """
        self._run(lambda: self._async.invalidate(sub))

"""Plivo's SIP endpoints: https://www.plivo.com/docs/voice/api/endpoints."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._config import LARGEST_PAGE
from plivo_endpoints._errors import (
    NotRegisteredError,
    RateLimitedError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from plivo_endpoints._models import (
    Acknowledgement,
    CreatedEndpoint,
    Endpoint,
    Page,
)
from plivo_endpoints._pagination import AsyncPaginator, search
from plivo_endpoints._request_models import EndpointChanges, NewEndpoint
from plivo_endpoints._resources.base import AsyncResource
from plivo_endpoints._resources.filters import EndpointFilter
from plivo_endpoints._sansio.messages import Operation
from plivo_endpoints._validation import (
    check_aware,
    check_count,
    check_seconds,
    check_text,
    check_username,
    suffix_length,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

CREATE: Final = Operation("endpoints.create", "POST", "Endpoint/", returns=CreatedEndpoint, repeatable=False)
LIST: Final = Operation("endpoints.list", "GET", "Endpoint/", returns=Page[Endpoint], repeatable=True)
GET: Final = Operation("endpoints.get", "GET", "Endpoint/{endpoint_id}/", returns=Endpoint, repeatable=True)
UPDATE: Final = Operation(
    "endpoints.update", "POST", "Endpoint/{endpoint_id}/", returns=Acknowledgement, repeatable=True
)
DELETE: Final = Operation(
    "endpoints.delete", "DELETE", "Endpoint/{endpoint_id}/", returns=type(None), repeatable=True
)

_FIRST_LOOK: Final = 1.0  # seconds between the first two walks of find_created
_LONGEST_LOOK: Final = 30.0
_INCOMPLETE_WALKS: Final = 3
_FIRST_READ: Final = 0.5  # seconds between the first two reads of wait_registered
_LONGEST_READ: Final = 5.0


class AsyncEndpoints(AsyncResource):
    """SIP users: create, read, update and delete them."""

    async def create(
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
        new = NewEndpoint(username=username, password=password, alias=alias, app_id=app_id)
        return await self._executor.execute(CREATE, new)

    async def get(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint, with its registration if a phone is registered.

        Raises:
            NotFoundError: If no endpoint has that id, or no longer.
        """
        return await self._executor.execute(GET, endpoint_id=endpoint_id)

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
    ) -> AsyncPaginator[Endpoint]:
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
        wanted = EndpointFilter(
            alias=alias, username_prefix=username_prefix, app_id=app_id, registered=registered
        )
        wanted.check()
        check_count("page_size", page_size, 1, LARGEST_PAGE)
        check_count("offset", offset, 0)
        check_count("prefetch", prefetch, 0)
        return AsyncPaginator(
            self._fetch_page,
            operation=LIST,
            identify=_endpoint_id,
            page_size=page_size,
            offset=offset,
            prefetch=prefetch,
            matches=None if wanted == EndpointFilter() else wanted.matches,
        )

    async def _fetch_page(self, query: Mapping[str, int | str]) -> Page[Endpoint]:
        return await self._executor.execute(LIST, query=query)

    async def list_page(self, *, limit: int = 20, offset: int = 0) -> Page[Endpoint]:
        """Return one page of the list: 1 to 20 endpoints, starting at `offset`."""
        check_count("limit", limit, 1, LARGEST_PAGE)
        check_count("offset", offset, 0)
        return await self._fetch_page({"limit": limit, "offset": offset})

    async def update(
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
        changes = EndpointChanges(password=password, alias=alias, app_id=app_id)
        return await self._executor.execute(UPDATE, changes, endpoint_id=endpoint_id)

    async def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint permanently.

        A delete whose response is lost is sent again; a 404 for the second one then counts as success.

        Raises:
            NotFoundError: If no endpoint had that id.
        """
        await self._executor.execute(DELETE, endpoint_id=endpoint_id)

    async def wait_registered(self, endpoint_id: str, *, timeout: float) -> Endpoint:  # noqa: ASYNC109 - see the docstring
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
        check_seconds("timeout", timeout, zero=True)
        deadline, pause = CLOCK.monotonic() + timeout, _FIRST_READ
        while True:
            try:
                endpoint = await self.get(endpoint_id)
            except (TransportError, ServerError, RateLimitedError):
                if CLOCK.monotonic() >= deadline:
                    raise
            else:
                if endpoint.sip_registered:
                    return endpoint
                if CLOCK.monotonic() >= deadline:
                    raise NotRegisteredError(endpoint_id, timeout=timeout)
            await asyncio.sleep(max(0.0, min(pause, deadline - CLOCK.monotonic())))
            pause = min(2 * pause, _LONGEST_READ)

    async def find_created(
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
        check_username("username", username)
        check_text("alias", alias)
        check_aware("sent_at", sent_at)
        if elapsed is not None:
            check_seconds("elapsed", elapsed, zero=True)
        check_seconds("settle", settle, zero=True)
        # From here on, only the monotonic clock counts. A `sent_at` in the future counts as now.
        age = max(0.0, CLOCK.wall() - sent_at.timestamp()) if elapsed is None else elapsed
        settled, pause = CLOCK.monotonic() + settle - age, _FIRST_LOOK

        incomplete = 0  # walks that would have proved absence if they had been complete
        while True:
            begun = CLOCK.monotonic()
            found, is_all = await search(self.list(), _matcher(username, alias))
            if found or (is_all and begun >= settled):
                return tuple(found)
            incomplete += begun >= settled
            if incomplete == _INCOMPLETE_WALKS:
                raise _unreadable("the list was incomplete in every walk, so the endpoint may still exist")
            remaining = settled - CLOCK.monotonic()
            await asyncio.sleep(min(pause, remaining) if remaining > 0 else pause)
            pause = min(2 * pause, _LONGEST_LOOK)


async def create_after(
    endpoints: AsyncEndpoints, new: NewEndpoint, before_send: Callable[[], Awaitable[float]]
) -> CreatedEndpoint:
    """Create an endpoint as `create` does, awaiting `before_send` just before sending.

    It is awaited after the rate limit has allowed the request and a connection is open, before the first byte
    is sent, and again in every attempt. It returns the monotonic time by which the request must be sent; if
    that has passed, the call times out instead. If it raises, nothing is sent and its exception propagates.
    Provisioning writes its intent there.
    """
    return await endpoints._executor.execute(CREATE, new, before_send=before_send)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


async def update_after(
    endpoints: AsyncEndpoints,
    endpoint_id: str,
    changes: EndpointChanges,
    before_send: Callable[[], Awaitable[float]] | None,
) -> None:
    """Update an endpoint as `update` does, awaiting `before_send` just before sending; see `create_after`."""
    await endpoints._executor.execute(UPDATE, changes, before_send=before_send, endpoint_id=endpoint_id)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _matcher(username: str, alias: str) -> Callable[[Endpoint], bool]:
    def may_match(endpoint: Endpoint) -> bool:
        unreadable = endpoint.extra.keys() & {"alias", "username"}
        may_be = ("alias" in unreadable or endpoint.alias == alias) and (
            "username" in unreadable or suffix_length(username, endpoint.username or "") is not None
        )
        if may_be and unreadable:
            raise _unreadable("an endpoint may match, but its alias or username cannot be read")
        return may_be

    return may_match


def _unreadable(problem: str) -> ResponseDecodeError:
    return ResponseDecodeError(problem, status=HTTPStatus.OK, method=LIST.method, path=LIST.path)


def _endpoint_id(endpoint: Endpoint) -> str:
    return endpoint.endpoint_id

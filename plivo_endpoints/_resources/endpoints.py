"""Plivo's SIP endpoints: https://www.plivo.com/docs/voice/api/endpoints."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from plivo_endpoints._clock import CLOCK
from plivo_endpoints._config import LARGEST_PAGE
from plivo_endpoints._errors import ResponseDecodeError
from plivo_endpoints._models import (
    Acknowledgement,
    CreatedEndpoint,
    Endpoint,
    Page,
)
from plivo_endpoints._pagination import AsyncPaginator, search
from plivo_endpoints._requests import EndpointChanges, NewEndpoint
from plivo_endpoints._resources.base import AsyncResource
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

_FIRST_LOOK: Final = 1.0  # seconds between the first two looks of find_created
_LONGEST_LOOK: Final = 30.0
_INCOMPLETE_WALKS: Final = 3


class AsyncEndpoints(AsyncResource):
    """SIP users: make, read, change and delete them."""

    async def create(
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
        new = NewEndpoint(username=username, password=password, alias=alias, app_id=app_id)
        return await self._executor.execute(CREATE, new)

    async def get(self, endpoint_id: str) -> Endpoint:
        """Read an endpoint, with its registration if a phone is registered.

        Raises:
            NotFoundError: There is none of that id, or no longer.
        """
        return await self._executor.execute(GET, endpoint_id=endpoint_id)

    def list(self, *, page_size: int = 20, offset: int = 0, prefetch: int = 0) -> AsyncPaginator[Endpoint]:
        """Iterate over all endpoints, one page in memory at a time.

        What is deleted meanwhile, also by the loop itself, moves others past the walk: to delete what you
        find, collect it first.

        Args:
            page_size: Endpoints per request, 1 to 20.
            offset: Endpoints to skip.
            prefetch: How many further pages to keep under way while you work on one, in order. Helps where
                lists are linked by offset, as Plivo's are documented to be.
        """
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
        )

    async def _fetch_page(self, query: Mapping[str, int | str]) -> Page[Endpoint]:
        return await self._executor.execute(LIST, query=query)

    async def list_page(self, *, limit: int = 20, offset: int = 0) -> Page[Endpoint]:
        """Read one page of the list, 1 to 20 endpoints from `offset` on."""
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
        """Change an endpoint; what is `None` keeps its value. The username cannot change.

        Raises:
            InvalidArgumentError: An argument breaks a rule, or there is nothing to change.
            NotFoundError: There is no endpoint of that id, or no longer.
        """
        changes = EndpointChanges(password=password, alias=alias, app_id=app_id)
        return await self._executor.execute(UPDATE, changes, endpoint_id=endpoint_id)

    async def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint for ever.

        A deletion whose answer is lost is sent again; that the second finds nothing is then its success.

        Raises:
            NotFoundError: There was none of that id.
        """
        await self._executor.execute(DELETE, endpoint_id=endpoint_id)

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
        check_username("username", username)
        check_text("alias", alias)
        check_aware("sent_at", sent_at)
        if elapsed is not None:
            check_seconds("elapsed", elapsed, zero=True)
        check_seconds("settle", settle, zero=True)
        # From here on only the clock that nobody can change counts, and a create in the future left just now.
        age = max(0.0, CLOCK.wall() - sent_at.timestamp()) if elapsed is None else elapsed
        settled, pause = CLOCK.monotonic() + settle - age, _FIRST_LOOK

        incomplete = 0  # walks that could have proved absence, had they been complete
        while True:
            begun = CLOCK.monotonic()
            found, is_all = await search(self.list(), _matcher(username, alias))
            if found or (is_all and begun >= settled):
                return tuple(found)
            incomplete += begun >= settled
            if incomplete == _INCOMPLETE_WALKS:
                raise _unreadable("the list is never complete, so nothing proves that it lacks the endpoint")
            remaining = settled - CLOCK.monotonic()
            await asyncio.sleep(min(pause, remaining) if remaining > 0 else pause)
            pause = min(2 * pause, _LONGEST_LOOK)


async def create_after(
    endpoints: AsyncEndpoints, new: NewEndpoint, before_send: Callable[[], Awaitable[None]]
) -> CreatedEndpoint:
    """Create an endpoint as `create` does, awaiting `before_send` when all else is ready.

    It is awaited with the rate limit's permission and a connection in hand, before the first byte leaves, and
    again for every attempt. Where it raises, nothing leaves, and what it raised is raised here: this is where
    provisioning writes its intent.
    """
    return await endpoints._executor.execute(CREATE, new, before_send=before_send)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _matcher(username: str, alias: str) -> Callable[[Endpoint], bool]:
    def may_be_it(endpoint: Endpoint) -> bool:
        odd = endpoint.extra.keys() & {"alias", "username"}
        may_be = ("alias" in odd or endpoint.alias == alias) and (
            "username" in odd or suffix_length(username, endpoint.username or "") is not None
        )
        if may_be and odd:
            raise _unreadable("the alias or username of an endpoint that may be it cannot be read")
        return may_be

    return may_be_it


def _unreadable(problem: str) -> ResponseDecodeError:
    return ResponseDecodeError(problem, status=HTTPStatus.OK, method=LIST.method, path=LIST.path)


def _endpoint_id(endpoint: Endpoint) -> str:
    return endpoint.endpoint_id

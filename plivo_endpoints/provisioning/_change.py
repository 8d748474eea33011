"""Changing what there is: updates, and the deletion of what was replaced or is gone from the source."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import DeletionLimitError
from plivo_endpoints.provisioning._matching import claimant
from plivo_endpoints.provisioning._outage import ABOUT_THE_ROW, BROKEN, UNSENT
from plivo_endpoints.provisioning._retry import retry_transient

if TYPE_CHECKING:
    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._outage import Outage
    from plivo_endpoints.provisioning._state._protocol import Entries

_MOST_DELETED: Final = 10  # endpoints
_SHARE_DELETED: Final = 10  # of all, one in so many


async def check_deletions(state: Entries, options: Options) -> None:
    """Refuse to delete more than a person can have meant, unless that was allowed."""
    held, gone = await state.count_held()
    limit = options.delete_limit
    if limit is None:  # an empty source is an accident
        limit = max(_MOST_DELETED, held // _SHARE_DELETED) if gone < held else 0
    if options.delete and gone > limit:
        raise DeletionLimitError(
            f"{gone} of {held} endpoints would be deleted, more than {limit}: look whether the source is "
            f"whole, then allow it with a limit of {gone}"
        )


class Changes:
    """Carries out the changes of rows that have an endpoint. All of them may be done twice."""

    def __init__(self, client: AsyncClient, state: Entries, outage: Outage) -> None:
        self._client = client
        self._state = state
        self._outage = outage

    async def update(self, entry: Entry, password: str) -> None:
        """Update an endpoint; the password is sent only where it was edited."""
        changes: dict[str, Any] = {
            name: password if name == "password" else getattr(entry.wanted, name)
            for name in (entry.known or entry.wanted).changes_to(entry.wanted)
        }
        if "password" in changes:
            before, entry = entry, states.updating(entry)
            await self._state.save([(before, entry)])
        try:
            await retry_transient(partial(self._client.endpoints.update, entry.endpoint_id or "", **changes))
        except (NotFoundError, *ABOUT_THE_ROW) as error:
            reason = f"Plivo refused the update of endpoint {entry.endpoint_id}: {error.message or error}"
            await self._state.save([(entry, states.update_refused(entry, reason))])
            self._outage.refused(error.message or str(error))
        except UNSENT as error:
            await self._outage.unsent(error)
        except BROKEN as error:
            reason = f"the update of endpoint {entry.endpoint_id} failed: {error}"
            await self._state.save([(entry, states.update_refused(entry, reason))])
            self._outage.lost(str(error))
        else:
            await self._state.save([(entry, states.updated(entry))])
            self._outage.done()

    async def delete_replaced(self, entry: Entry) -> None:
        """Delete the endpoint that a row had before."""
        reason = await self._delete(entry.replaces or "")
        after = states.replaced(entry) if reason is None else states.not_deleted(entry, reason)
        await self._state.save([(entry, after)])

    async def delete_gone(self, entry: Entry, *, even_registered: bool) -> None:
        """Delete the endpoint of a row that the source has no more."""
        reason = None
        if entry.state is not RowState.DELETING:  # a deletion that was begun may have been carried out
            reason = await self._why_claimed(entry)
            if reason is None and not even_registered:
                reason = await self._why_in_use(entry.endpoint_id or "")
        if reason is None:
            before, entry = entry, states.deleting(entry)
            await self._state.save([(before, entry)])
            reason = await self._delete(entry.endpoint_id or "")
        after = states.deleted(entry) if reason is None else states.not_deleted(entry, reason)
        await self._state.save([(entry, after)])

    async def finish_deletion(self, entry: Entry) -> None:
        """Delete the endpoint of a row that came back to the source after its deletion had begun.

        Whether that was carried out, or will be yet, cannot be seen. So it is, and the row gets a new one.
        """
        reason = await self._delete(entry.endpoint_id or "")
        after = states.remade(entry) if reason is None else states.not_deleted(entry, reason)
        await self._state.save([(entry, after)])

    async def _why_claimed(self, entry: Entry) -> str | None:
        if (other := await claimant(self._state, entry)) is None:
            return None
        return (
            f"not deleted, as endpoint {entry.endpoint_id} can be that of {other.key!r}: import it for that "
            "key, or give the row its old key"
        )

    async def _why_in_use(self, endpoint_id: str) -> str | None:
        with suppress(NotFoundError):
            endpoint = await retry_transient(lambda: self._client.endpoints.get(endpoint_id))
            if endpoint.sip_registered is not False:
                return (
                    f"not deleted, as a phone may be registered with endpoint {endpoint_id}: it takes "
                    "even-registered to delete it"
                )
        return None

    async def _delete(self, endpoint_id: str) -> str | None:
        """Delete an endpoint; return why not, if it stays."""
        while True:
            try:
                await retry_transient(lambda: self._client.endpoints.delete(endpoint_id))
            except NotFoundError:
                return None
            except (*ABOUT_THE_ROW, *BROKEN) as error:
                return f"endpoint {endpoint_id} was not deleted: {error}"
            except UNSENT as error:
                await self._outage.unsent(error)
            else:
                return None

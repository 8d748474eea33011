"""Updates, and deletion of endpoints that were replaced or are no longer in the source."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints._errors import NotFoundError
from plivo_endpoints._request_models import EndpointChanges
from plivo_endpoints._resources.endpoints import update_after
from plivo_endpoints.provisioning import _transitions as states
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import DeletionLimitError
from plivo_endpoints.provisioning._matching import claimant
from plivo_endpoints.provisioning._outage import ABOUT_THE_ROW, BROKEN, UNREACHABLE, retry_transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._entries import Entry
    from plivo_endpoints.provisioning._options import Options
    from plivo_endpoints.provisioning._outage import Outage
    from plivo_endpoints.provisioning._state._protocol import EntryStore

_MOST_DELETED: Final = 10  # endpoints
_SHARE_DELETED: Final = 10  # a tenth of all


async def check_deletions(state: EntryStore, options: Options) -> None:
    """Raise `DeletionLimitError` if more endpoints would be deleted than allowed."""
    held, gone = await state.count_held()
    limit = options.delete_limit
    if limit is None:  # an empty source is an accident
        limit = max(_MOST_DELETED, held // _SHARE_DELETED) if gone < held else 0
    if options.delete and gone > limit:
        raise DeletionLimitError(
            f"{gone} of {held} endpoints would be deleted, more than {limit}: check that the source is "
            f"complete, then allow it with a limit of {gone}"
        )


class ChangeSender:
    """Updates and deletes endpoints; every operation may safely be repeated.

    With `is_shared`, another process may take over a row to update it as a newer edition of the source says.
    So it is checked before an update leaves that the row is still this process's: a late update of an older
    edition would stay unnoticed if it changed the password.
    """

    def __init__(
        self, client: AsyncClient, state: EntryStore, outage: Outage, *, is_shared: bool = False
    ) -> None:
        self._client = client
        self._state = state
        self._outage = outage
        self._is_shared = is_shared

    async def update(self, entry: Entry, password: str) -> None:
        """Update an endpoint; send the password only if it was edited."""
        changes: dict[str, Any] = {
            name: password if name == "password" else getattr(entry.wanted, name)
            for name in (entry.known or entry.wanted).changes_to(entry.wanted)
        }
        if "password" in changes:
            before, entry = entry, states.updating(entry)
            await self._state.save([(before, entry)])

        async def confirm() -> float:
            begun = time.monotonic()
            await self._state.save([(entry, entry)])
            return begun + states.SEND_GUARD

        new, before_send = EndpointChanges(**changes), confirm if self._is_shared else None
        endpoints, endpoint_id = self._client.endpoints, entry.endpoint_id or ""
        try:
            await retry_transient(lambda: update_after(endpoints, endpoint_id, new, before_send))
        except (NotFoundError, *ABOUT_THE_ROW) as error:
            reason = f"Plivo refused the update of endpoint {entry.endpoint_id}: {error.message or error}"
            await self._state.save([(entry, states.update_refused(entry, reason))])
            self._outage.refused(error.message or str(error))
        except UNREACHABLE as error:
            await self._outage.unsent(error)
        except BROKEN as error:
            reason = f"the update of endpoint {entry.endpoint_id} failed: {error}"
            await self._state.save([(entry, states.update_refused(entry, reason))])
            self._outage.lost(str(error))
        else:
            await self._state.save([(entry, states.updated(entry))])
            self._outage.done()

    async def delete_replaced(self, entry: Entry) -> None:
        """Delete a row's previous endpoint."""
        await self._delete(entry, entry.replaces or "", states.replaced, states.not_deleted)

    async def delete_gone(self, entry: Entry, *, even_registered: bool) -> None:
        """Delete the endpoint of a row that is no longer in the source."""
        if entry.state is not RowState.DELETING:  # a deletion that was started may have taken effect
            reason = await self._why_claimed(entry)
            if reason is None and not even_registered:
                reason = await self._why_in_use(entry.endpoint_id or "")
            after = states.deleting(entry) if reason is None else states.not_deleted(entry, reason)
            await self._state.save([(entry, after)])
            entry = after
        if entry.state is RowState.DELETING:
            await self._delete(entry, entry.endpoint_id or "", states.deleted, states.undeleted)

    async def finish_deletion(self, entry: Entry) -> None:
        """Delete the endpoint of a row that came back to the source after its deletion had started.

        Whether that deletion has taken effect, or still will, is unknown. So it is finished, and the row gets
        a new endpoint.
        """
        await self._delete(entry, entry.endpoint_id or "", states.remade, states.undeleted)

    async def _why_claimed(self, entry: Entry) -> str | None:
        if (other := await claimant(self._state, entry)) is None:
            return None
        return (
            f"not deleted, as endpoint {entry.endpoint_id} may belong to {other.key!r}: import it for that "
            "key, or give the row its old key"
        )

    async def _why_in_use(self, endpoint_id: str) -> str | None:
        with suppress(NotFoundError):
            endpoint = await retry_transient(lambda: self._client.endpoints.get(endpoint_id))
            if endpoint.sip_registered is not False:
                return (
                    f"not deleted, as a phone may be registered with endpoint {endpoint_id}: allow it with "
                    "even-registered"
                )
        return None

    async def _delete(
        self,
        entry: Entry,
        endpoint_id: str,
        deleted: Callable[[Entry], Entry],
        lost: Callable[[Entry, str], Entry],
    ) -> None:
        """Delete an endpoint; the row becomes what `deleted` returns, or `lost` if the result is unknown."""
        while True:
            try:
                await retry_transient(lambda: self._client.endpoints.delete(endpoint_id))
            except NotFoundError:
                break
            except ABOUT_THE_ROW as error:
                reason = f"endpoint {endpoint_id} was not deleted: {error}"
                await self._state.save([(entry, states.not_deleted(entry, reason))])
                return
            except BROKEN as error:
                reason = f"it is unknown whether endpoint {endpoint_id} was deleted: {error}"
                await self._state.save([(entry, lost(entry, reason))])
                self._outage.lost(str(error))
                return
            except UNREACHABLE as error:
                await self._outage.unsent(error)
            else:
                break
        await self._state.save([(entry, deleted(entry))])
        self._outage.done()

"""A fleet: the endpoints that one source describes, and the state that remembers which they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning import _maintenance as maintenance
from plivo_endpoints.provisioning._apply import follow
from plivo_endpoints.provisioning._options import Options, check_only
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._plan import make_plan
from plivo_endpoints.provisioning._reach import check_client
from plivo_endpoints.provisioning._results import read_credentials, read_outcomes
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._state._sqlite import SqliteState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._apply import Run
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report
    from plivo_endpoints.provisioning._results import SipCredentials
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._state._protocol import FleetState
    from plivo_endpoints.provisioning._steps import Step


class AsyncFleet:
    """The endpoints that one source describes, in one account.

    Its state knows for each key of the source which endpoint that is, what was asked for last, and whether a
    create may be on its way. It outlives every run and every edit of the source. Nothing is held between two
    calls: each opens the state by itself, so that others can look at it meanwhile.

    ```python
    fleet = AsyncFleet(client, "plivo-fleet.db")
    print((await fleet.plan("users.csv")).summary)
    async with fleet.apply("users.csv") as run:
        async for outcome in run:
            print(outcome.key, outcome.status)
    print(run.report.counts)
    ```

    Args:
        client: Whose account. Its rate limit is the fleet's.
        state: The state's file, made by the first `apply`; or another `FleetState`.
        master_key: At least 16 characters. Rows that come without a password get one that is derived from it,
            and edited passwords are noticed by it. `PLIVO_PROVISION_KEY` without it.

    Raises:
        InvalidArgumentError: The client is a blocking one, or the master key too short.
    """

    def __init__(
        self,
        client: AsyncClient,
        state: str | PathLike[str] | FleetState = "plivo-fleet.db",
        *,
        master_key: str | None = None,
    ) -> None:
        check_client(client)
        self._client = client
        self._state = SqliteState(state) if isinstance(state, (str, os.PathLike)) else state
        self._master_key = master_key_of(master_key)

    async def plan(self, source: Source, *, only: Collection[str] | None = None) -> Plan:
        """Compare a source with the state and the account; nothing is written, and nothing sent but reads.

        Args:
            source: The rows: a path, `*.csv` or `*.jsonl`, each also with `.gz`; a source object such as
                `CsvSource`; or a collection of `Row`s or of mappings with the same fields, a list say.
            only: Keys of the rows to plan for, where that is not all.

        Raises:
            InvalidArgumentError: The source is not a source, or can be read only once; or there is no row of
                such a key.
            SourceError: Rows break rules; all of them are named.
            StaleError: The account or the master key does not belong to this state.
            StateError: The state cannot be read.
            ProvisioningError: The account's list could not be read completely.
        """
        check_only(only)
        return await make_plan(self._client, source_of(source), self._state, self._master_key, only)

    def apply(
        self,
        source: Source,
        *,
        plan: Plan | None = None,
        only: Collection[str] | None = None,
        import_existing: bool = False,
        replace: bool = False,
        recreate: bool = False,
        delete: bool = False,
        delete_limit: int | None = None,
        even_registered: bool = False,
        concurrency: int = 32,
        settle: float = 120.0,
        max_failures: int = 20,
    ) -> AbstractAsyncContextManager[Run]:
        """Make an endpoint of each row that has none, and put right those that were edited here or there.

        After a run that was interrupted it goes on where that stopped; after one that ended it looks at
        everything anew. Rows are known again by their keys, whatever else was edited.

        Args:
            source: As for `plan`. It is read once to check all rows before anything is sent, and again for
                each pass.
            plan: Refuse to begin unless source and account still are as this plan found them.
            only: Keys of the rows to work on, where that is not all; the report counts these. The others are
                left as they are, and the audit looks at them too.
            import_existing: Take over the one endpoint of the account that can be a row, by username and
                alias. Its password is left as it is. Without it such a row waits for a person; so it does
                always where several can be it, or one that has another alias.
            replace: Where a username was edited, make a new endpoint, and once that is there delete the old
                one.
            recreate: Make those endpoints again that somebody has deleted.
            delete: Delete the endpoints of rows that the source has no more.
            delete_limit: How many of these at most; without it ten, or a tenth of all where that is more.
            even_registered: Delete also those that a phone is registered with.
            concurrency: Requests under way at the same time.
            settle: Seconds after which a create with a lost answer counts as never carried out: more than
                Plivo may take to carry out what it received, and its list to show it.
            max_failures: Stop after so many rows one after the other that Plivo refused.

        Raises:
            InvalidArgumentError: The source is not a source, or can be read only once; there is no row of a
                key in `only`; or a number is out of its range.
            SourceError: Rows break rules; nothing was sent.
            StaleError: The account, the master key or the plan does not belong to this state, or the source
                has changed since the plan.
            DeletionLimitError: More would be deleted than `delete_limit`; none was.
            StateError: The state cannot be used, or another run works on it or on the account.
            CanaryError: An endpoint does not match what was asked for.
            RefusedError: Plivo refuses one row after the other.
            OutageError: Plivo cannot be reached, or answers nothing that can be read.
            ProvisioningError: The account's list could not be read completely.
        """
        options = Options(
            plan=plan,
            only=only,
            import_existing=import_existing,
            replace=replace,
            recreate=recreate,
            delete=delete,
            delete_limit=delete_limit,
            even_registered=even_registered,
            concurrency=concurrency,
            settle=settle,
            max_failures=max_failures,
        )
        return follow(self._client, source_of(source), self._state, self._master_key, options)

    async def report(self) -> Report:
        """Return where the fleet stands, by its state alone, also while a run is under way.

        Raises:
            StateError: There is no state, or it cannot be read.
        """
        return await maintenance.read_report(self._state)

    def outcomes(self) -> AsyncGenerator[Outcome]:
        """Return what came of each row in the last run, in the order of the source; also during one."""
        return read_outcomes(self._state)

    def credentials(self, source: Source) -> AsyncGenerator[SipCredentials]:
        """Return the same with each row's password, from the source or derived again.

        Raises:
            InvalidArgumentError: The source is not a source, or can be read only once.
            StaleError: Source or master key is not the one of the last run.
        """
        return read_credentials(self._state, source_of(source), self._master_key)

    async def drift(self) -> tuple[Step, ...]:
        """Compare the state with the account, without a source; nothing is written.

        Returns:
            A step for each endpoint that the account has changed, or has no more.
        """
        return await maintenance.find_drift(self._client, self._state)

    async def audit(self) -> Report:
        """Compare account and state, in one walk of the list, and return where the fleet stands after that.

        As a run may have used the rate limit until now, the first request waits for one period of it.

        Raises:
            StaleError: The state belongs to another account.
            ProvisioningError: No walk was complete; the message says why.
            StateError: The state cannot be used, or is in use.
        """
        return await maintenance.audit(self._client, self._state)

    async def delete_duplicates(self) -> tuple[Duplicate, ...]:
        """Delete the duplicates that the last audit found deletable, and return those deleted.

        One that a phone is registered with, or that has changed since, is left alone and stays in the report;
        so is one whose row has lost the endpoint that was kept for it. There is no way back, so ask first.
        """
        return await maintenance.delete_found_duplicates(self._client, self._state)

    async def import_endpoints(self, pairs: Mapping[str, str]) -> tuple[Outcome, ...]:
        """Assign an endpoint to each of some rows, where only a person can decide; all of them or none.

        An endpoint is taken over from a row that the source has no more, if it was that one's.

        Args:
            pairs: Endpoint ids, by the rows' keys.

        Raises:
            ProvisioningError: The state has no such key, a run has not finished with it, the endpoint is that
                of another row, has another username, or is not there.
        """
        return await maintenance.import_endpoints(self._client, self._state, pairs)

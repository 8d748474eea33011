"""A fleet: the endpoints that one source describes, and the state that remembers them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from plivo_endpoints._validation import require
from plivo_endpoints.provisioning import _maintenance as maintenance
from plivo_endpoints.provisioning._joint import enqueue
from plivo_endpoints.provisioning._options import Options, check_only
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._plan import make_plan
from plivo_endpoints.provisioning._reach import check_client
from plivo_endpoints.provisioning._results import read_credentials, read_outcomes
from plivo_endpoints.provisioning._run import follow, join
from plivo_endpoints.provisioning._source import source_of
from plivo_endpoints.provisioning._state._choice import state_of
from plivo_endpoints.provisioning._state._postgres import PostgresState
from plivo_endpoints.provisioning._stored_source import StoredSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from plivo_endpoints._client import AsyncClient
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report
    from plivo_endpoints.provisioning._results import SipCredentials
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._run import Run
    from plivo_endpoints.provisioning._state._leases import Worker
    from plivo_endpoints.provisioning._state._protocol import FleetState
    from plivo_endpoints.provisioning._steps import Step


class AsyncFleet:
    """The endpoints that one source describes, in one account.

    For each key of the source, the state stores which endpoint belongs to it, what was last requested, and
    whether a create may be in flight. The state outlives every run and every edit of the source. Each call
    opens and closes the state by itself, so that others can read it in between.

    ```python
    fleet = AsyncFleet(client, "plivo-fleet.db")
    print((await fleet.plan("users.csv")).summary)
    async with fleet.apply("users.csv") as run:
        async for outcome in run:
            print(outcome.key, outcome.status)
    print(run.report.counts)
    ```

    Args:
        client: The client of the account. Its rate limit applies to the fleet.
        state: The path of the state file, created by the first `apply`; or the URL of a database and the
            fleet's name, `postgresql://user@host/database#fleet`; or another `FleetState`.
        master_key: At least 16 characters. Rows without a password get one derived from it, and it is used to
            detect edited passwords. Defaults to the environment variable `PLIVO_PROVISION_KEY`.

    Raises:
        InvalidArgumentError: The client is a blocking one, or the master key is too short.
    """

    def __init__(
        self,
        client: AsyncClient,
        state: str | PathLike[str] | FleetState = "plivo-fleet.db",
        *,
        master_key: str | None = None,
    ) -> None:
        check_client(client)
        self._client = client.with_options(priority="bulk")  # people and web services go first
        self._state = state_of(state) if isinstance(state, (str, os.PathLike)) else state
        self._master_key = master_key_of(master_key)

    async def plan(self, source: Source, *, only: Collection[str] | None = None) -> Plan:
        """Compare a source with the state and the account; write nothing and send only reads.

        Args:
            source: The rows: a path, `*.csv` or `*.jsonl`, each also with `.gz`; a source object such as
                `CsvSource`; or a collection, such as a list, of `Row`s or of mappings with the same fields.
            only: Keys of the rows to plan for; all rows by default.

        Raises:
            InvalidArgumentError: The source is not valid or can be read only once, or a key in `only`
                belongs to no row.
            SourceError: Rows are invalid; all of them are named.
            StaleError: The account or the master key does not belong to this state.
            StateError: The state cannot be read.
            ProvisioningError: The account's list could not be read completely.
        """
        keys = check_only(only)
        return await make_plan(self._client, source_of(source), self._state, self._master_key, keys)

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
        """Create an endpoint for each row that has none, and update those that do not match their row.

        After an interrupted run it continues where that run stopped; after a finished one it compares
        everything again. Rows are recognised by their keys, whatever else was edited.

        If the state is in PostgreSQL and another process runs this source already, this one joins that run:
        it creates and updates rows, and takes over if the other one dies. Then the permissions are those that
        the run was begun with, and the iteration yields the outcomes of this process's rows only. A run with
        `only` joins none.

        Args:
            source: As for `plan`. It is read once to check all rows before anything is sent, and again for
                each pass.
            plan: Refuse to start unless source and account are still as this plan found them.
            only: Keys of the rows to work on; all rows by default. The report counts only these. Other rows
                are left as they are, but the audit checks them too.
            import_existing: Take over an existing endpoint if it is the only one with the row's username and
                alias. Its password is left as it is. Without this option such a row needs review. A row
                always does if several endpoints match it, or one with another alias.
            replace: If a username was edited, create a new endpoint, then delete the old one.
            recreate: Create endpoints again that somebody has deleted.
            delete: Delete the endpoints of rows that are no longer in the source.
            delete_limit: The most endpoints that `delete` may delete. By default ten, or a tenth of all if
                that is more.
            even_registered: Also delete endpoints that a phone is registered with.
            concurrency: Maximum number of requests in flight.
            settle: Seconds after which a create with a lost response counts as not carried out. Must be more
                than Plivo may take to process a request and show the result in its list.
            max_failures: Stop after Plivo has refused this many rows in succession.

        Raises:
            InvalidArgumentError: The source is not valid or can be read only once, a key in `only` belongs
                to no row, or a number is out of range.
            SourceError: Rows are invalid; nothing was sent.
            StaleError: The account, the master key or the plan does not belong to this state, or the source
                has changed since the plan.
            DeletionLimitError: More would be deleted than `delete_limit`; none was.
            StateError: The state cannot be used, or another run works on it, if it is a file, or on the
                account.
            CanaryError: An endpoint does not match the request.
            RefusedError: Plivo refused too many rows in succession.
            OutageError: Plivo cannot be reached, or its responses cannot be read.
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
        rows = source_of(source)
        if isinstance(self._state, PostgresState) and only is None:
            return join(self._client, rows, self._state, self._master_key, options)
        return follow(self._client, rows, self._state, self._master_key, options)

    def work(
        self, *, concurrency: int = 32, settle: float = 120.0, max_failures: int = 20
    ) -> AbstractAsyncContextManager[Run]:
        """Take part in the fleet's run without its source, until the run has ended.

        The rows are taken from the state, and their passwords derived from the master key. If no other
        process leads the run, this one does, with the permissions that the run was begun with.

        Args:
            concurrency: As for `apply`.
            settle: As for `apply`.
            max_failures: As for `apply`.

        Raises:
            InvalidArgumentError: The state is not in PostgreSQL, or a number is out of range.
            StaleError: The account or the master key is not that of this state.
            StateError: No run has begun, the state cannot be used, or the passwords of rows are only in the
                source.
            CanaryError: As for `apply`, like `RefusedError`, `OutageError` and `ProvisioningError`.
        """
        options = Options(concurrency=concurrency, settle=settle, max_failures=max_failures)
        state = self._shared_state()
        return join(
            self._client, StoredSource(state), state, self._master_key, options, keeps_permissions=True
        )

    async def enqueue(
        self,
        source: Source,
        *,
        import_existing: bool = False,
        replace: bool = False,
        recreate: bool = False,
        delete: bool = False,
        delete_limit: int | None = None,
        even_registered: bool = False,
    ) -> int:
        """Put a source into the state for processes that call `work`; send nothing.

        Args:
            source: As for `plan`; all passwords must be derived.
            import_existing: As for `apply`.
            replace: As for `apply`.
            recreate: As for `apply`.
            delete: As for `apply`.
            delete_limit: As for `apply`.
            even_registered: As for `apply`.

        Returns:
            The number of rows.

        Raises:
            InvalidArgumentError: The state is not in PostgreSQL, or an argument is invalid.
            SourceError: Rows are invalid, or have passwords of their own.
            StaleError: The account or the master key is not that of this state.
            StateError: The state cannot be used, or a run is in progress.
        """
        options = Options(
            import_existing=import_existing,
            replace=replace,
            recreate=recreate,
            delete=delete,
            delete_limit=delete_limit,
            even_registered=even_registered,
        )
        rows = source_of(source)
        return await enqueue(self._client, rows, self._shared_state(), self._master_key, options)

    async def workers(self) -> tuple[Worker, ...]:
        """Return the processes that take part in the fleet's run now; none if the state is a file."""
        return await maintenance.read_workers(self._state)

    def _shared_state(self) -> PostgresState:
        allows_claims = isinstance(self._state, PostgresState)
        require("state", None if allows_claims else "must be in PostgreSQL: a file is for one process")
        return cast("PostgresState", self._state)

    async def report(self) -> Report:
        """Return the fleet's report from its state alone; also during a run.

        Raises:
            StateError: There is no state, or it cannot be read.
        """
        return await maintenance.read_report(self._state)

    def outcomes(self) -> AsyncGenerator[Outcome]:
        """Return the outcome of each row in the last run, in the order of the source; also during a run."""
        return read_outcomes(self._state)

    def credentials(self, source: Source) -> AsyncGenerator[SipCredentials]:
        """Return the outcomes with each row's password, from the source or derived again.

        Raises:
            InvalidArgumentError: The source is not valid or can be read only once.
            StaleError: Source or master key is not that of the last run.
        """
        return read_credentials(self._state, source_of(source), self._master_key)

    async def drift(self) -> tuple[Step, ...]:
        """Compare the state with the account, without a source; nothing is written.

        Returns:
            A step for each endpoint that was changed or deleted on the account.
        """
        return await maintenance.find_drift(self._client, self._state)

    async def audit(self) -> Report:
        """Compare account and state in one walk of the list, and return the resulting report.

        A run may have used up the rate limit, so the first request waits for one period of it.

        Raises:
            StaleError: The state belongs to another account.
            ProvisioningError: No walk was complete; the message gives the reason.
            StateError: The state cannot be used, or is in use.
        """
        return await maintenance.audit(self._client, self._state)

    async def delete_duplicates(self) -> tuple[Duplicate, ...]:
        """Delete the duplicates that the last audit found deletable, and return those deleted.

        A duplicate stays, and remains in the report, if it has a registered phone or has changed since, or if
        its row has lost the endpoint that was kept for it. Deletion cannot be undone, so ask first.
        """
        return await maintenance.delete_found_duplicates(self._client, self._state)

    async def import_endpoints(self, pairs: Mapping[str, str]) -> tuple[Outcome, ...]:
        """Assign endpoints to rows, where only a person can decide; either all of them or none.

        An endpoint may be taken from a row that is no longer in the source.

        Args:
            pairs: Endpoint ids by row key.

        Raises:
            ProvisioningError: The state has no such key, or a run has not finished with it; or the endpoint
                belongs to another row, has another username, or does not exist.
        """
        return await maintenance.import_endpoints(self._client, self._state, pairs)

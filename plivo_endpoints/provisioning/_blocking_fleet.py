"""The blocking counterpart of `AsyncFleet`: runs its coroutines on the loop of a blocking client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from plivo_endpoints.provisioning._fleet import AsyncFleet
from plivo_endpoints.provisioning._reach import async_view, check_blocking_client, runner_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator, Mapping
    from contextlib import AbstractAsyncContextManager
    from os import PathLike
    from typing import Any, TypeVar

    from plivo_endpoints._client import Client
    from plivo_endpoints.provisioning._plan import Plan
    from plivo_endpoints.provisioning._report import Duplicate, Outcome, Report
    from plivo_endpoints.provisioning._results import SipCredentials
    from plivo_endpoints.provisioning._rows import Source
    from plivo_endpoints.provisioning._run import Progress, Run
    from plivo_endpoints.provisioning._state._leases import Worker
    from plivo_endpoints.provisioning._state._protocol import FleetState
    from plivo_endpoints.provisioning._steps import Step

    T = TypeVar("T")
    RunOnLoop = Callable[[Callable[[], Coroutine[Any, Any, T]]], T]


class _LeftError(Exception):
    """Stands in for the exception that ended the caller's block; an interrupt must not reach the loop."""


class BlockingRun:
    """A run in progress: iterate over it to receive the outcome of each row as it finishes; see `Run`."""

    def __init__(self, run: Run, run_on_loop: RunOnLoop[Any]) -> None:
        self._async = run
        self._run_on_loop = run_on_loop

    def __iter__(self) -> Generator[Outcome]:
        yield from _iterate(aiter(self._async), self._run_on_loop)

    @property
    def progress(self) -> Progress:
        """A snapshot of the run."""
        return self._async.progress

    @property
    def report(self) -> Report:
        """The results for all rows, including those from earlier processes."""
        return self._async.report

    def stop(self) -> None:
        """Start no further row; the iteration ends once the rows in progress are finished."""

        async def stop() -> None:
            self._async.stop()

        self._run_on_loop(stop)


class Fleet:
    """The blocking counterpart of `AsyncFleet`: the same methods, arguments and errors, with a `Client`.

    ```python
    fleet = Fleet(client, "plivo-fleet.db")
    print(fleet.plan("users.csv").summary)
    with fleet.apply("users.csv") as run:
        for outcome in run:
            print(outcome.key, outcome.status)
    ```
    """

    def __init__(
        self,
        client: Client,
        state: str | PathLike[str] | FleetState = "plivo-fleet.db",
        *,
        master_key: str | None = None,
    ) -> None:
        check_blocking_client(client)
        self._async = AsyncFleet(async_view(client), state, master_key=master_key)
        self._run_on_loop = runner_of(client).run

    def plan(self, source: Source, *, only: Collection[str] | None = None) -> Plan:
        """Compare a source with the state and the account; see `AsyncFleet.plan`."""
        return self._run_on_loop(lambda: self._async.plan(source, only=only))

    @contextmanager
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
    ) -> Generator[BlockingRun]:
        """Make the account match a source; see `AsyncFleet.apply`."""
        following = self._async.apply(
            source,
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
        with self._followed(following) as run:
            yield run

    @contextmanager
    def work(
        self, *, concurrency: int = 32, settle: float = 120.0, max_failures: int = 20
    ) -> Generator[BlockingRun]:
        """Take part in the fleet's run without its source; see `AsyncFleet.work`."""
        following = self._async.work(concurrency=concurrency, settle=settle, max_failures=max_failures)
        with self._followed(following) as run:
            yield run

    @contextmanager
    def _followed(self, following: AbstractAsyncContextManager[Run]) -> Generator[BlockingRun]:
        run = self._run_on_loop(lambda: _enter(following))
        try:
            yield BlockingRun(run, self._run_on_loop)
        except BaseException:
            left = _LeftError()
            self._run_on_loop(lambda: _leave(following, left))
            raise
        self._run_on_loop(lambda: _leave(following, None))

    def enqueue(
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
        """Put a source into the state for processes that call `work`; see `AsyncFleet.enqueue`."""
        return self._run_on_loop(
            lambda: self._async.enqueue(
                source,
                import_existing=import_existing,
                replace=replace,
                recreate=recreate,
                delete=delete,
                delete_limit=delete_limit,
                even_registered=even_registered,
            )
        )

    def workers(self) -> tuple[Worker, ...]:
        """Return the processes that take part in the fleet's run now; see `AsyncFleet.workers`."""
        return self._run_on_loop(self._async.workers)

    def report(self) -> Report:
        """Return the fleet's report from its state alone; see `AsyncFleet.report`."""
        return self._run_on_loop(self._async.report)

    def outcomes(self) -> Generator[Outcome]:
        """Return the outcome of each row in the last run; see `AsyncFleet.outcomes`."""
        return _iterate(self._async.outcomes(), self._run_on_loop)

    def credentials(self, source: Source) -> Generator[SipCredentials]:
        """Return the outcomes with each row's password; see `AsyncFleet.credentials`."""
        return _iterate(self._async.credentials(source), self._run_on_loop)

    def drift(self) -> tuple[Step, ...]:
        """Compare the state with the account, without a source; see `AsyncFleet.drift`."""
        return self._run_on_loop(self._async.drift)

    def audit(self) -> Report:
        """Compare account and state; see `AsyncFleet.audit`."""
        return self._run_on_loop(self._async.audit)

    def delete_duplicates(self) -> tuple[Duplicate, ...]:
        """Delete the duplicates that the last audit found deletable; see `AsyncFleet.delete_duplicates`."""
        return self._run_on_loop(self._async.delete_duplicates)

    def import_endpoints(self, pairs: Mapping[str, str]) -> tuple[Outcome, ...]:
        """Assign an endpoint to each of some rows; see `AsyncFleet.import_endpoints`."""
        return self._run_on_loop(lambda: self._async.import_endpoints(pairs))


async def _enter(following: AbstractAsyncContextManager[Run]) -> Run:
    return await following.__aenter__()


async def _leave(following: AbstractAsyncContextManager[Run], error: _LeftError | None) -> None:
    await following.__aexit__(None if error is None else _LeftError, error, None)


def _iterate(items: AsyncGenerator[T], run_on_loop: RunOnLoop[Any]) -> Generator[T]:
    try:
        while (found := run_on_loop(lambda: _next(items))) is not None:
            yield found
    finally:
        run_on_loop(items.aclose)


async def _next(items: AsyncGenerator[T]) -> T | None:
    return await anext(items, None)

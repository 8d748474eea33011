"""Tasks with which workers of Procrastinate go through a fleet whose state is in PostgreSQL.

A queue can lose a job or run it twice, so no row depends on one: rows, claims and leases are in the state. A
job only takes part in the fleet's run for some minutes, as the command `provision work` does.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from os import environ
from typing import TYPE_CHECKING, Any, Final

from plivo_endpoints._client import AsyncClient
from plivo_endpoints._config import Secret
from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints._events import logger
from plivo_endpoints._postgres_rate_limit import PostgresRateLimit
from plivo_endpoints._validation import check_callable, check_seconds, require
from plivo_endpoints.provisioning._errors import StateError
from plivo_endpoints.provisioning._fleet import AsyncFleet
from plivo_endpoints.provisioning._maintenance import is_done, read_workers
from plivo_endpoints.provisioning._options import Options
from plivo_endpoints.provisioning._passwords import master_key_of
from plivo_endpoints.provisioning._report import ExitStatus
from plivo_endpoints.provisioning._state._choice import state_of
from plivo_endpoints.provisioning._state._postgres import PostgresState

try:
    from procrastinate import Blueprint
    from procrastinate.exceptions import AlreadyEnqueued
except ModuleNotFoundError as _error:
    if _error.name != "procrastinate":
        raise
    raise ImportError(
        "needs Procrastinate: pip install 'plivo-endpoints[procrastinate]'", name=_error.name
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from plivo_endpoints.provisioning._report import Report
    from plivo_endpoints.provisioning._run import Run

__all__ = ["fleet_blueprint"]

_EACH_MINUTE: Final = "* * * * *"
_PAUSE: Final = 300  # seconds between a shift that failed and the next one
_TICK: Final = 0.5  # seconds


def fleet_blueprint(
    state: str | PostgresState,
    *,
    client: Callable[[], AbstractAsyncContextManager[AsyncClient]] | None = None,
    master_key: str | None = None,
    shift: float = 600.0,
    settle: float = 120.0,
    concurrency: int = 32,
    max_failures: int = 20,
    audit: str = "0 3 * * *",
    queue: str = "plivo",
) -> Blueprint:
    """Return tasks that carry out what `provision enqueue` or `AsyncFleet.enqueue` puts into a state.

    ```python
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    app.add_tasks_from(fleet_blueprint("postgresql://app@db.example.com/app#phones"), namespace="plivo")
    ```

    - `shift` takes part in the fleet's run for some minutes, and defers the next shift unless the run has
      ended. If it fails, the next one begins 5 minutes later.
    - `watch`, once a minute, defers a shift if the run has not ended and no process works on it: the first
      shift of a run, and the one after a worker was killed.
    - `audit`, once a night, audits the fleet if its run has ended, and logs a warning if it finds duplicates
      or rows that need review.

    No job has an argument that is secret.

    Args:
        state: The URL of the database with the fleet's name, `postgresql://user@host/database#fleet`. It
            need not be the database of the queue.
        client: Called in each job for the client to use, which the job closes. By default that is an
            `AsyncClient` with the environment's credentials. Unless `PLIVO_RATE_LIMIT` is set, it shares the
            rate limit through the state's database (`PostgresRateLimit`).
        master_key: As for `AsyncFleet`; by default, each job reads `PLIVO_PROVISION_KEY`.
        shift: Seconds that a shift lasts, without those in which it plans. Must be more than `settle`.
        settle: As for `AsyncFleet.apply`, like the next two.
        concurrency: See there.
        max_failures: See there.
        audit: When to audit, as a cron expression in UTC.
        queue: The queue of these tasks. As a shift occupies its worker for minutes, give it a worker of its
            own, or one that runs several jobs at once.

    Raises:
        InvalidArgumentError: The state is not in PostgreSQL, or another argument is invalid.
    """
    key = Secret(master_key_of(master_key) or "") if master_key else None
    del master_key  # this frame is part of a traceback
    shared = state_of(state) if isinstance(state, str) else state
    del state
    if not isinstance(shared, PostgresState):
        raise InvalidArgumentError("state", "must be in PostgreSQL: postgresql://user@host/database#fleet")
    check_callable("client", client)
    options = Options(settle=settle, concurrency=concurrency, max_failures=max_failures)
    check_seconds("shift", shift)
    require("shift", None if shift > settle else "must be more than settle: no shift could wait as long")
    return _make_blueprint(_SharedFleet(shared, client, key, options, shift), audit=audit, queue=queue)


def _make_blueprint(fleet: _SharedFleet, *, audit: str, queue: str) -> Blueprint:
    blueprint = Blueprint()

    # Not `lock=`: the job of a worker that was killed would hold it until somebody removes the job.
    @blueprint.task(name="shift", queue=queue, queueing_lock=f"{fleet.name} shift")
    async def work() -> None:
        try:
            await fleet.work()
        except Exception:
            await defer_shift(pause=_PAUSE)
            raise
        await defer_if_left()

    async def defer_shift(*, pause: int = 0) -> None:
        job = work.configure(schedule_in={"seconds": pause}) if pause else work.configure()
        with suppress(AlreadyEnqueued):
            await job.defer_async()

    async def defer_if_left() -> None:
        if await fleet.is_left():
            await defer_shift()

    @blueprint.periodic(cron=_EACH_MINUTE)
    @blueprint.task(name="watch", queue=queue, queueing_lock=f"{fleet.name} watch")
    async def watch(timestamp: int) -> None:  # noqa: ARG001 - periodic tasks have it
        await defer_if_left()

    @blueprint.periodic(cron=audit)
    @blueprint.task(name="audit", queue=queue, queueing_lock=f"{fleet.name} audit")
    async def inspect(timestamp: int) -> None:  # noqa: ARG001 - periodic tasks have it
        await fleet.audit()

    _check_cron(blueprint)
    return blueprint


def _check_cron(blueprint: Blueprint) -> None:
    registry: Any = blueprint.periodic_registry  # its annotations are not complete
    for task in registry.periodic_tasks.values():
        try:
            _ = task.croniter
        except (AttributeError, ValueError):
            raise InvalidArgumentError("audit", "must be a cron expression, such as '0 3 * * *'") from None


class _SharedFleet:
    """What the tasks do with the fleet; each with a client and a connection of its own."""

    def __init__(
        self,
        state: PostgresState,
        connect: Callable[[], AbstractAsyncContextManager[AsyncClient]] | None,
        master_key: Secret | None,
        options: Options,
        shift: float,
    ) -> None:
        self.name: str = f"{state.name}#{state.fleet}"
        self._state = state  # never opened itself, as jobs may run at once
        self._connect = connect
        self._master_key = master_key
        self._options = options
        self._shift = shift
        self._rate_limit: PostgresRateLimit | None = None

    async def is_left(self) -> bool:
        """Whether the run has not ended, and no process works on it."""
        return await is_done(self._state) is False and not await read_workers(self._state)

    async def work(self) -> None:
        """Take part in the run for the time of a shift, if there is one."""
        if await is_done(self._state) is not False:
            return
        options = self._options
        async with (
            self._opened() as fleet,
            fleet.work(
                concurrency=options.concurrency, settle=options.settle, max_failures=options.max_failures
            ) as run,
        ):
            await _work_for(run, self._shift)
        if run.progress.phase == "done":
            status = run.report.exit_status
            self._log("run", run.report, is_fine=status == ExitStatus.DONE)

    async def audit(self) -> None:
        """Audit the fleet and log what was found, unless its run has not ended or a process works on it."""
        if not await self._is_idle():
            return
        async with self._opened() as fleet:
            try:
                report = await fleet.audit()
            except StateError:
                if await self._is_idle():
                    raise
                return  # a run has begun meanwhile
        self._log("audit", report, is_fine=report.exit_status != ExitStatus.REVIEW)

    async def _is_idle(self) -> bool:
        return await is_done(self._state) is True and not await read_workers(self._state)

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[AsyncFleet]:
        async with await self._make_client() as client:
            state = PostgresState(self._state.url.reveal(), self._state.fleet)
            key = self._master_key
            yield AsyncFleet(client, state, master_key=None if key is None else key.reveal())

    async def _make_client(self) -> AbstractAsyncContextManager[AsyncClient]:
        if self._connect is not None:
            return self._connect()
        if environ.get("PLIVO_RATE_LIMIT"):
            return AsyncClient()
        if self._rate_limit is None:
            self._rate_limit = await asyncio.to_thread(self._open_rate_limit)
        return AsyncClient(rate_limit=self._rate_limit)

    def _open_rate_limit(self) -> PostgresRateLimit:
        return PostgresRateLimit(self._state.url.reveal())

    def _log(self, what: str, report: Report, *, is_fine: bool) -> None:
        figures = [*report.counts.items(), ("duplicates", len(report.duplicates))]
        text = ", ".join(f"{name}: {count}" for name, count in figures if count)
        logger.log(
            logging.INFO if is_fine else logging.WARNING, "%s of %s has ended: %s", what, self.name, text
        )


async def _work_for(run: Run, seconds: float) -> None:
    """Work for so many seconds, then finish what was begun."""
    ending = asyncio.create_task(_stop_after(run, seconds))
    try:
        async for _ in run:
            pass
    finally:
        ending.cancel()
        await asyncio.wait({ending})


async def _stop_after(run: Run, seconds: float) -> None:
    # A plan may take minutes, as it walks the account's whole list, and it is lost if another process leads
    # next. So the shift begins to count after it.
    worked = 0.0
    while worked < seconds:
        await asyncio.sleep(_TICK)
        if run.progress.phase != "planning":
            worked += _TICK
    run.stop()

"""The blocking fleet: the same calls, on a blocking client."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, Client, InvalidArgumentError
from plivo_endpoints.provisioning import AsyncFleet, BlockingRun, Fleet, RefusedError, Row, Run, StateError
from plivo_endpoints.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Rows = Callable[[int], list[Row]]


@pytest.fixture
def account() -> Iterator[Sandbox]:
    """Serve a sandbox from a thread."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def blocking_client(account: Sandbox) -> Iterator[Client]:
    """Give a blocking client of it."""
    with Client(account.auth_id, account.auth_token, base_url=account.base_url, rate_limit=None) as client:
        yield client


@pytest.fixture
def fleet(blocking_client: Client, tmp_path: Path) -> Fleet:
    """Give a fleet with a state in the test's folder."""
    return Fleet(blocking_client, tmp_path / "fleet.db")


def public(kind: type) -> dict[str, str]:
    """Return the parameters of a class's public methods."""
    return {
        name: str(list(inspect.signature(member).parameters.values()))
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_the_same_calls() -> None:
    """Both fleets have the same methods with the same arguments."""
    assert public(AsyncFleet) == public(Fleet)
    assert public(BlockingRun).keys() == public(Run).keys() - {"complete", "end"}


def test_the_life_of_a_fleet(fleet: Fleet, rows: Rows, account: Sandbox) -> None:
    """Plan, apply, read the results, apply an edited source."""
    assert fleet.plan(rows(3)).counts["create"] == 3
    with fleet.apply(rows(3)) as run:
        assert {outcome.status for outcome in run} == {"created"}
    assert (run.report.exit_status, run.progress.phase) == (0, "done")
    with fleet.apply(rows(2), delete=True):
        pass
    assert [outcome.status for outcome in fleet.outcomes()] == ["unchanged", "unchanged", "deleted"]
    assert len(account.endpoints) == 2
    assert (fleet.drift(), fleet.delete_duplicates()) == ((), ())
    assert fleet.audit().exit_status == fleet.report().exit_status == 0
    passwords = [credentials.password for credentials in fleet.credentials(rows(2))]
    assert passwords == ["secret-1", "secret-2"]


def test_an_endpoint_that_a_person_decides_on(
    fleet: Fleet, rows: Rows, blocking_client: Client, account: Sandbox
) -> None:
    """It is imported by its id."""
    for _ in range(2):
        blocking_client.endpoints.create(username="user1x", password="secret", alias="row-1")
    with fleet.apply(rows(1)) as run:
        pass
    assert run.report.counts["review"] == 1
    (outcome,) = fleet.import_endpoints({"key-1": max(account.endpoints)})
    assert (outcome.status, outcome.endpoint_id) == ("imported", max(account.endpoints))


def test_an_error_of_the_run(fleet: Fleet, rows: Rows, account: Sandbox) -> None:
    """The iteration raises it, once."""
    account.inject(Fault(applied=False, status=400), times=100, method="POST")
    with pytest.raises(RefusedError), fleet.apply(rows(30)) as run:
        list(run)
    assert fleet.report().counts["failed"] == 20


def test_an_error_of_the_callers(fleet: Fleet, rows: Rows, account: Sandbox) -> None:
    """It ends the run, which starts no further row; the next run continues."""
    with pytest.raises(ZeroDivisionError), fleet.apply(rows(500), concurrency=1) as run:
        next(iter(run))
        raise ZeroDivisionError
    assert 0 < len(account.endpoints) < 500
    with fleet.apply(rows(500)) as run:
        pass
    assert (run.report.counts["created"], len(account.endpoints)) == (500, 500)


def test_a_run_that_is_stopped(fleet: Fleet, rows: Rows, account: Sandbox) -> None:
    """Rows in progress are finished, and no further row is started."""
    with fleet.apply(rows(500), concurrency=1) as run:
        next(iter(run))
        run.stop()
    assert 0 < len(account.endpoints) == fleet.report().counts["created"] < 500


@pytest.mark.slow
def test_ctrl_c(fleet: Fleet, rows: Rows, account: Sandbox) -> None:
    """It ends the run like an error: nothing is lost, nothing created twice."""

    def interrupt() -> None:
        while not account.endpoints:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt), fleet.apply(rows(3000), concurrency=1) as run:
        list(run)
    with fleet.apply(rows(50), settle=0.5) as run:
        list(run)
    names = [endpoint.username[:-12] for endpoint in account.endpoints.values()]
    assert (run.report.counts["unprocessed"], len(names)) == (0, len(set(names)))


def test_one_run_at_a_time(fleet: Fleet, blocking_client: Client, rows: Rows, tmp_path: Path) -> None:
    """Only one run per account on a machine; the error names the holder."""
    another = Fleet(blocking_client, tmp_path / "another.db")
    refused = pytest.raises(StateError, match=f"another run works on this account: process {os.getpid()} on ")
    with fleet.apply(rows(1)), refused, another.apply(rows(1)):
        pass


def test_a_client_of_the_wrong_kind(blocking_client: Client, client: AsyncClient) -> None:
    """The error names the fleet class to use."""
    with pytest.raises(InvalidArgumentError, match="use AsyncFleet with an AsyncClient"):
        Fleet(client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgumentError, match="use Fleet with a Client"):
        AsyncFleet(blocking_client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
